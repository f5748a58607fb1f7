"""Studies: several networks under one recipe, over several seeds, row by row."""
