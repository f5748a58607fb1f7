"""The command line: one thin module per command. Torch is imported only when a command runs."""
