"""`stars status`: progress of a run, from files only; the scheduler is not queried."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tqdm import tqdm

from stars.errors import InputError
from stars.jobs.failures import last_lines, report
from stars.jobs.journal import AGAIN, PATH, Job, Run
from stars.program import program

LOCKS = ".snakemake/locks"  # empty unless Snakemake is running or was killed


def in_progress(project: Path | str = ".") -> Run | None:
    """The run in progress in a project's folder; None if there is none, or if it was killed. It is in progress as long
    as the folder is locked and, if it is on this machine, its process lives.
    """
    try:
        run = Run.read(Path(project, PATH))
        alive = any(Path(project, LOCKS).glob("*")) and not run.is_gone()
    except (InputError, OSError, ArithmeticError, ValueError, KeyError, TypeError, AttributeError):
        return None  # no run, or an unreadable journal
    return run if alive and not run.ended else None


def status(path: Path = PATH) -> str:
    """Lines on the newest run: counts, jobs under way with the last line of their logs, waiting jobs, failures."""
    run = Run.read(path)
    stopped = (f"interrupted: {job.what}" for job in run.of_state("interrupted"))
    return "\n".join([*summary(run), *under_way(run), *stopped, *_waiting(run), *report(run.of_state("failed"))]) + "\n"


def ending(path: Path = PATH) -> str:
    """Message for an incomplete run: interruption, and the reason of each failure."""
    run = Run.read(path)
    return "\n".join([*report(run.of_state("failed")), *([AGAIN] if run.interrupted else [])])


def summary(run: Run) -> Iterator[str]:
    """Counts of jobs, whether the run has ended, and what to do if it did not end well."""
    counts = Counter(job.state for job in run.jobs.values())
    total = sum(run.planned.values())
    began = time.strftime("%Y-%m-%d %H:%M", time.localtime(run.began))
    stopped = f"{counts['interrupted']} interrupted, " if run.interrupted else ""
    yield (
        f"{counts['done']} of {total} jobs done, {counts['under way']} under way, {stopped}{counts['failed']} failed;"
        f" started {began} on {run.host}"
    )
    if run.interrupted and (run.ended or run.is_gone()):
        yield AGAIN
    elif run.interrupted:
        yield "interrupted: trainings save their progress, and no new jobs start"
    elif run.ended and counts["done"] < total:
        yield "Snakemake has ended: run the same command again to resume"
    elif not run.ended and run.is_gone():
        left = f"; submitted Slurm jobs may still be running: squeue --name {run.slurm}" if run.slurm else ""
        yield (
            f"Snakemake (process {run.pid}) was killed: run the same command again to resume, after"
            f" {program('snakemake')} --unlock{left}"
        )


def under_way(run: Run) -> Iterator[str]:
    """Each job under way, with the last line of its log."""
    for job in run.of_state("under way"):
        log = job.scheduler_log() if run.slurm and not job.local else None
        queued = run.slurm and not job.local and log is None
        place = "in the queue" if queued else f"Slurm job {log.stem}" if log else "running"
        yield f"{job.what}: {place}, for {_ago(job.since)}"
        yield from (f"  {line}" for line in ([] if queued else _newest_line(job)))


def _newest_line(job: Job) -> Iterator[str]:
    """The last line of the job's log (of a training: step, epoch, loss, clips per second, time left), and its age."""
    for path in map(Path, job.logs):
        if path.is_file() and path.stat().st_mtime >= job.since and (lines := last_lines(path)):
            yield f"{lines[-1]}  ({_ago(path.stat().st_mtime)} ago)"


def _waiting(run: Run) -> Iterator[str]:
    begun = Counter(job.rule for job in run.jobs.values())
    left = {rule: count - begun[rule] for rule, count in run.planned.items() if count > begun[rule]}
    if left:
        yield "waiting: " + ", ".join(f"{rule} {count}" for rule, count in left.items())


def _ago(moment: float) -> str:
    return tqdm.format_interval(max(0, time.time() - moment))
