"""Files of weights that others published: where they are, how they are read, what they are."""
