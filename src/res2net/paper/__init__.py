"""Specification: all networks, recipes and published results of the paper. No torch in here."""
