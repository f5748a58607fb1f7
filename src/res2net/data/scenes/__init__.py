"""Readers of the dense tasks: boxes, masks, class maps, salient objects, key-points."""
