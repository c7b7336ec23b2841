"""Inspection of data before training: a page for a data set, pictures of a clip. Results are not changed."""
