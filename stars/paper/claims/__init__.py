"""The paper's claims as comparisons: what is expected, what was measured, and how certain it is."""
