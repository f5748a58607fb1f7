"""Networks behind a local page and the same as JSON over HTTP."""
