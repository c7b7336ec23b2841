"""Use of a trained encoder on files that are in no data set: `stars.load`, `stars predict`, `embed` and `search`."""
