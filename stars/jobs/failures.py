"""Why jobs failed: each job's log, its last lines, and hints on common causes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from stars.jobs.journal import SCHEDULER_LOGS, SIGKILL, Job

PROFILE = "workflow/profiles/slurm/config.yaml"
TAIL = 5  # lines of a log that are shown
READ = 20_000  # bytes at the end of a log that are searched

# Pattern in Slurm's status, its messages or a log (ignoring case) → hint. The first match is printed.
HINTS = {
    r"invalid partition": f"no such partition: `sinfo -s` lists them; set cpu_partition and gpu_partition in {PROFILE}",
    r"invalid account|account .* appears to be invalid": (
        f"no such account: `sacctmgr show user $USER -s` lists yours; set account in {PROFILE}"
    ),
    r"invalid qos|invalid feature": (
        f"Slurm knows no such constraint or qos: `sinfo -o %f` lists constraints; set them in {PROFILE}"
    ),
    r"node configuration is not available|(memory|cpu count) specification": (
        f"no node has the requested resources: lower mem_mb, threads or GPUs in {PROFILE}"
    ),
    r"time limit is invalid": (
        f"the partition allows less time (`sinfo -o '%P %l'`): lower gpu_minutes or runtime in {PROFILE}"
    ),
    r"sbatch: (command )?not found": (
        "there is no Slurm here: log in to the cluster's login node, or leave out --profile slurm"
    ),
    r"no space left|disk quota exceeded": (
        "the disk is full or the quota is used up: free some space and run again; no partial files were left"
    ),
    r"cuda out of memory|cuda error: out of memory": (
        f"out of GPU memory: request a larger GPU (constraint in {PROFILE}) or lower the batch size"
    ),
    r"out_of_memory|oom.?kill|exceeded (job )?memory limit|can't allocate memory|memoryerror|\bkilled\b.*stars": (
        f"out of memory: raise mem_mb of this rule under set-resources in {PROFILE}"
    ),
    SIGKILL.lower(): (
        "it was killed, probably because memory ran out: run the same command again, with fewer --cores if it happens"
        " again"
    ),
    r"pytorch finds no gpu|torch sees 0|no nvidia driver|cuda driver version|libcuda|nvidia-smi has failed": (
        f"no usable GPU driver on that node: load its module (modules in {PROFILE}), or install the build that fits"
        " (envs/torch-cuda.txt)"
    ),
    r"status is: 'timeout'|due to time limit": (
        f"time limit reached: raise runtime of this rule under set-resources in {PROFILE}; training resumes from its"
        " checkpoint"
    ),
    r"node_fail|boot_fail": "its node failed: run again; training resumes from its checkpoint",
    r"cancelled": "it was cancelled (scancel, or by an administrator): run again; training resumes from its checkpoint",
}

OTHERWISE = "fix the reported error and run the same command again; finished results are kept"


def report(jobs: Iterable[Job]) -> Iterator[str]:
    """Lines on each failed job: its name, the end of its logs with its own error first, and a hint."""
    for job in jobs:
        yield f"failed: {job.what}" + (f" (Slurm job {job.slurm})" if job.slurm else "")
        logs = {path: _end(path) for path in map(Path, job.logs) if _is_of(path, job)}
        own = {path: text for path, text in logs.items() if not _is_schedulers(path)}
        shown = {path: _schedulers_lines(text) if own and _is_schedulers(path) else text for path, text in logs.items()}
        for path, text in shown.items():
            yield f"  {path}"
            yield from (f"    {line}" for line in _error_first(text))
        if not logs:
            yield from (f"    {line}" for line in _last(job.reason.partition("    sbatch call:")[0]))
            yield from (f"  {path} was not written" for path in job.logs if not job.reason)
        yield f"  hint: {_hint([job.reason, *logs.values()])}"


def _hint(texts: Iterable[str]) -> str:
    text = "\n".join(texts)
    return next((hint for pattern, hint in HINTS.items() if re.search(pattern, text, re.IGNORECASE)), OTHERWISE)


def _error_first(text: str) -> list[str]:
    """The last lines of a log, preceded by the last `stars:` message in it."""
    lines = [line for line in text.splitlines() if line.strip()]
    error = [line for line in lines if line.startswith("stars: ")][-1:]
    return [*error, *(line for line in lines[-TAIL:] if line not in error)]


def _is_of(path: Path, job: Job) -> bool:
    """Whether a log is of this job, not left from an earlier run."""
    return path.is_file() and path.stat().st_size > 0 and path.stat().st_mtime >= job.since


def _is_schedulers(path: Path) -> bool:
    return SCHEDULER_LOGS.name in path.parts


def _schedulers_lines(text: str) -> str:
    """The errors that Slurm itself wrote to a job's log: the rest repeats the job's own log."""
    return "\n".join(dict.fromkeys(re.findall(r"^(?:slurmstepd|srun)\S*: error: .*$", text, re.MULTILINE)))


def last_lines(path: Path) -> list[str]:
    """The last non-empty lines of a log."""
    return _last(_end(path))


def _last(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.strip()][-TAIL:]


def _end(path: Path) -> str:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - READ))
        return file.read().decode("utf-8", "replace")
