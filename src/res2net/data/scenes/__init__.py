"""Readers for dense tasks: boxes, masks, class maps, salient objects, key-points."""
