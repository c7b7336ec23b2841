"""Estimate the cost of a run: jobs, hours and disk space, from Snakemake's dry run and measured speeds."""
