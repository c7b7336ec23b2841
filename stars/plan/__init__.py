"""What a run would cost before anyone pays it: jobs, hours and disk, from Snakemake's own plan and measured rates."""
