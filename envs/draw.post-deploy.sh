#!/bin/sh
# Snakemake runs this in a new environment, from the folder with the Snakefile: the package itself, from here, and nothing else with it.
set -e
pip install --quiet --no-deps --no-build-isolation --editable .
