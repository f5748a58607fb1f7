"""The command line: one thin file a command. No torch is imported before a command runs."""
