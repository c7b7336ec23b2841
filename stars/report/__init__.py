"""The report: one page with everything, and what its parts are made of."""
