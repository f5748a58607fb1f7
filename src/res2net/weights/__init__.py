"""Published weight files: catalogue, download, reading and identification."""
