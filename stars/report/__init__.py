"""The report: one page with all results and their lineage."""
