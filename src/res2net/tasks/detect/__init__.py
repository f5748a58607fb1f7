"""Detection and instance segmentation (paper sections 4.6 and 4.8, Tables 5, 6 and 8)."""
