"""Measured speed: one timing protocol, the cases it runs, and the files it appends to."""
