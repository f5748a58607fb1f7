"""Tasks: training, scores and pictures of each. Every task has the same file names."""
