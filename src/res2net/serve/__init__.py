"""Networks behind a local page and a JSON API over HTTP."""
