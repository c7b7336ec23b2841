"""The paper's claims as comparisons: what is expected, what came out, with which certainty."""
