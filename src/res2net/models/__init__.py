"""The families built from the rows of the model table, and what they promise to heads."""
