"""Comparative trainings: our own studies, and the paper's tables and figures."""
