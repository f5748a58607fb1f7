"""The families of networks in the model table, and their common interface for heads."""
