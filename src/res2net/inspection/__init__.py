"""A data set inspected before a training: counted and drawn."""
