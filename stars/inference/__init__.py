"""Use of a trained encoder on your own files: `stars.load`, `stars predict`, `embed` and `search`."""
