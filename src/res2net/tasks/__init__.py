"""Tasks: what a network is trained for, how it is scored and shown. The same file names in each."""
