"""Images with labels: one reader per format, decoding, transforms, loaders."""
