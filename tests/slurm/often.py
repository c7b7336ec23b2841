"""`snakemake` that asks Slurm every second what became of its jobs; the executor's own pauses grow to three minutes,
in which tests would idle.
"""

import sys

from snakemake.cli import main
from snakemake_executor_plugin_slurm import Executor

Executor.next_seconds_between_status_checks = property(lambda self: 1.0, lambda self, seconds: None)
sys.exit(main())
