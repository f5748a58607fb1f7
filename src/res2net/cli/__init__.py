"""The command line: one thin module per command. No torch is imported before a command runs."""
