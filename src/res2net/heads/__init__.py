"""Heads of the dense tasks on any backbone of the model table, by the backbone's own contract."""
