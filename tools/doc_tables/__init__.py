"""The generated tables of README and docs, a function each."""
