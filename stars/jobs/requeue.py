"""Requeue a Slurm batch job that does not end within its time limit, under the same job id, until it is done."""

from __future__ import annotations

import os
import shutil
import subprocess


def queue_again() -> None:
    """Requeue the Slurm batch job of this process; Slurm then ends all its processes. Outside of Slurm nothing happens.

    Only for SIGUSR1, the notice before the time limit: cancelled jobs get SIGTERM and must not be requeued.
    """
    job = os.environ.get("SLURM_JOB_ID")
    if job and shutil.which("scontrol") and os.environ.get("RANK", "0") == "0":  # one of several processes requests it
        subprocess.run(["scontrol", "requeue", job], check=False)  # it prints its own errors
