"""The official metrics of each task, on numpy arrays. No torch."""
