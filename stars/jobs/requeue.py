"""A batch job of Slurm that does not end within its time goes back into the queue, under its own number, as often as it takes."""

from __future__ import annotations

import os
import shutil
import subprocess


def queue_again() -> None:
    """Queue the Slurm batch job that this process runs in again; Slurm then ends all its processes. Outside of Slurm nothing happens.

    Only for SIGUSR1, the notice that time is nearly up: a job that a user cancels is told by SIGTERM, and must not come back.
    """
    job = os.environ.get("SLURM_JOB_ID")
    if job and shutil.which("scontrol") and os.environ.get("RANK", "0") == "0":  # of several processes one asks
        subprocess.run(["scontrol", "requeue", job], check=False)  # it says itself why it could not
