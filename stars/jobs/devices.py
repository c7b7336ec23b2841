"""Reserve free GPUs for a process by lock files, so that concurrent jobs on one machine never share one."""

from __future__ import annotations

import fcntl
import os
import re
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from stars.errors import InputError

VARIABLE = "CUDA_VISIBLE_DEVICES"
SECONDS = 1.0  # between two looks for a free GPU
_held = ExitStack()  # open lock files: the kernel releases them when the process ends for any reason


def hold(count: int = 1) -> list[str]:
    """Reserve `count` free GPUs of those visible, and hide the others from this process and its children.

    Waits until so many are free. A single visible GPU is not locked: Snakemake's resource `gpu` limits how many jobs
    share it. Call it before CUDA is in use. InputError if there are fewer GPUs than `count`; without any, nothing
    happens.
    """
    seen = visible()
    if count > len(seen) > 0:
        raise InputError(
            f"{count} GPUs requested, {len(seen)} available: lower compute.gpus, or request more from the scheduler"
        )
    if len(seen) < 2:
        return seen
    taken = _take(seen, count)
    if not taken:
        print(
            f"waiting for {count} of {len(seen)} GPUs to become free: other jobs of yours are using them",
            file=sys.stderr,
            flush=True,
        )
    while not taken:
        time.sleep(SECONDS)
        taken = _take(seen, count)
    os.environ[VARIABLE] = ",".join(taken)
    return taken


def visible() -> list[str]:
    """Names of the GPUs that CUDA would show this process, without starting CUDA."""
    if VARIABLE in os.environ:
        return [name for name in os.environ[VARIABLE].split(",") if name.strip()]
    import torch

    return [str(number) for number in range(torch.cuda.device_count())]


def _take(seen: list[str], count: int) -> list[str]:
    """Lock `count` of the GPUs, or none."""
    taken: list[str] = []
    with ExitStack() as locks:
        for name in seen:
            if len(taken) < count and _lock(name, locks):
                taken.append(name)
        if len(taken) < count:
            return []
        _held.push(locks.pop_all())
    return taken


def _lock(name: str, locks: ExitStack) -> bool:
    # Within a job of Slurm, numbers may start at 0 again on every node and in every job.
    folder = Path(tempfile.gettempdir()) / f"stars-gpus-{os.getuid()}-{os.environ.get('SLURM_JOB_ID', 'host')}"
    folder.mkdir(mode=0o700, exist_ok=True)
    file = (folder / re.sub(r"\W", "_", name)).open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return False
    locks.enter_context(file)
    return True
