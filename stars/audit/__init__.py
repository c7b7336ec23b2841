"""Audits of results folders: checks, lineage of numbers, history, comparison, and archives."""
