"""How good predictions are: the official measures of each task, on numpy arrays. No torch."""
