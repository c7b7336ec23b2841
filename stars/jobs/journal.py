"""Journal of a run: one JSON line per job event, written while Snakemake runs, read by `stars status` and at the end
of the run.
"""

from __future__ import annotations

import json
import logging
import os
import platform
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, TextIO

from stars.errors import InputError

PATH = Path("results/logs/jobs.jsonl")
AGAIN = "interrupted: run the same command again to resume"
SAID = b"\ninterrupted: no new job starts, and a training saves after this step; a second Ctrl-C ends it at once\n"
KILLED, SIGKILL = re.compile(r"returned non-zero exit status 137\.|died with <Signals\.SIGKILL"), "killed by SIGKILL"
SCHEDULER_LOGS = Path("results/logs/slurm")  # as workflow/profiles/slurm says


class Journal(logging.Handler):
    """Handler of Snakemake's own logger. Buffers events until `begin`, which is called only for runs with jobs."""

    def __init__(self, path: Path = PATH) -> None:
        super().__init__()
        self.path = path
        self.heard: list[dict[str, Any]] = []
        self.file: TextIO | None = None
        self.interrupts = 0
        self.killed = False
        self.targets: frozenset[str] = frozenset()

    def begin(self, configfile: Iterable[str] = (), config: Iterable[str] = (), targets: Iterable[str] = ()) -> None:
        """Start the journal of this run, replacing the last run's; InputError while jobs of that run are still in a
        queue.

        Args:
            configfile, config: values of these Snakemake options, which are recorded nowhere else.
            targets: rules without output, which are not jobs to a user.
        """
        self.targets = frozenset(targets)
        _refuse_leftovers(self.path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.file = self.path.open("w", encoding="utf-8", buffering=1)
        self._write(
            {
                "event": "run",
                "pid": os.getpid(),
                "host": platform.node(),
                "configfile": [*configfile],
                "config": [*config],
            }
        )
        for entry in self.heard:
            self._write(entry)
        if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:  # as under `nohup`
            signal.signal(signal.SIGINT, self._interrupted)

    def _interrupted(self, number: int, frame: FrameType | None) -> None:
        """Record a Ctrl-C, then do what Python does: Snakemake starts no further jobs and waits for the running ones.

        A second Ctrl-C ends the running jobs and Snakemake, which unlocks the folder and reports each job; a third
        skips this.
        """
        self.interrupts += 1
        assert self.file is not None
        line = json.dumps({"time": int(time.time()), "event": "interrupted"}) + "\n"
        os.write(self.file.fileno(), line.encode())  # past the buffer, which may be in use at this moment
        if self.interrupts == 1:
            os.write(2, SAID)
        if self.interrupts != 2:
            signal.default_int_handler(number, frame)

    def end(self) -> None:
        """Record that Snakemake itself ended this run."""
        self._write({"event": "end"})

    def emit(self, record: logging.LogRecord) -> None:
        """Record an event of a job."""
        entry = _entry(record)
        self.killed |= bool(KILLED.search(record.getMessage()))  # logged before the job's own event
        if entry and entry["event"] == "error":
            entry["reason"] = entry["reason"] or (SIGKILL if self.killed else "")
            self.killed = False
        if entry and self.file:
            self._write(entry)
        elif entry:
            self.heard.append(entry)

    def _write(self, entry: dict[str, Any]) -> None:
        assert self.file is not None
        if entry["event"] == "plan":
            entry = {**entry, "jobs": {rule: n for rule, n in entry["jobs"].items() if rule not in self.targets}}
        if entry.get("rule") in self.targets:
            return
        self.file.write(json.dumps({"time": int(time.time()), **entry}) + "\n")


def _entry(record: logging.LogRecord) -> dict[str, Any] | None:
    """The journal entry for one of Snakemake's log records; None if it is not about jobs."""
    told, event = vars(record), str(getattr(record, "event", ""))
    if event == "run_info":
        return {"event": "plan", "jobs": {rule: count for rule, count in told["stats"].items() if rule != "total"}}
    if event == "job_info":
        wildcards = "_".join(told["wildcards"].values()).replace("/", "_")
        what = {
            "rule": told["rule_name"],
            "what": told["rule_msg"] or told["rule_name"],
            "wildcards": wildcards,
            "local": told["local"],
        }
        return {"event": "start", "job": told["jobid"], **what, "logs": list(told["log"])}
    if event == "job_error":
        reason, slurm = str(told["rule_msg"] or ""), told["aux"].get("external_jobid")
        logs = [_short(log) for log in told["log"] if log]
        return {"event": "error", "job": told["jobid"], "reason": reason, "slurm": slurm, "logs": logs}
    if event == "job_finished":
        return {"event": "finish", "job": told["job_id"]}
    found = re.fullmatch(r"SLURM run ID: (\S+)", record.getMessage())
    return {"event": "slurm", "name": found[1]} if found else None


def _short(log: str) -> str:
    path = Path(log)
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


@dataclass
class Job:
    """A job that was submitted to the scheduler or, if it is local, started."""

    rule: str
    what: str
    wildcards: str
    local: bool
    logs: list[str]
    since: float
    state: str = "under way"  # or done, failed, interrupted
    reason: str = ""
    slurm: str | None = None

    def scheduler_log(self) -> Path | None:
        """Slurm's own log of this job, which exists once it runs."""
        found = [
            path
            for path in (SCHEDULER_LOGS / f"rule_{self.rule}" / self.wildcards).glob("*.log")
            if _changed(path) >= self.since
        ]
        return max(found, key=_changed, default=None)


@dataclass
class Run:
    """A run according to its journal.

    `slurm`: the name of its Slurm jobs; `interrupted`: by Ctrl-C; `planned`: rule → number of jobs; `configfile`,
    `config`: values of these options.
    """

    began: float = 0.0
    pid: int = 0
    host: str = ""
    slurm: str | None = None
    ended: bool = False
    interrupted: bool = False
    planned: dict[str, int] = field(default_factory=dict)
    jobs: dict[int, Job] = field(default_factory=dict)
    configfile: list[str] = field(default_factory=list)
    config: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, path: Path = PATH) -> Run:
        """The newest run; InputError if there is none."""
        if not path.is_file():
            raise InputError(f"{path} is missing, so nothing was run here yet: run snakemake in this folder first")
        run = cls()
        for entry in _lines(path):
            run._take(entry)
        return run

    def is_here(self) -> bool:
        """Whether Snakemake ran on this machine."""
        return self.host == platform.node()

    def is_gone(self) -> bool:
        """Whether Snakemake's process is gone, if it ran on this machine."""
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return self.is_here()
        except PermissionError:  # the process is another user's
            return False
        return False

    def of_state(self, state: str) -> list[Job]:
        return [job for job in self.jobs.values() if job.state == state]

    def _take(self, entry: dict[str, Any]) -> None:
        job = self.jobs.get(entry.get("job", -1))
        match entry["event"]:
            case "run":
                self.began, self.pid, self.host = entry["time"], entry["pid"], entry["host"]
                self.configfile, self.config = entry.get("configfile", []), entry.get("config", [])
            case "slurm":
                self.slurm = entry["name"]
            case "plan":
                self.planned = entry["jobs"]
            case "start":
                what = {key: entry[key] for key in ("rule", "what", "wildcards", "local", "logs")}
                self.jobs[entry["job"]] = Job(**what, since=entry["time"])
            case "finish" if job:
                job.state = "done"
            case "error" if job:
                state = "interrupted" if self.interrupted else "failed"
                job.state, job.reason, job.logs, job.slurm = state, entry["reason"], entry["logs"], entry["slurm"]
            case "interrupted":
                self.interrupted = True
            case "end":
                self.ended = True


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """Entries of a journal, without a last line that was cut off by a kill."""
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            yield json.loads(line)
        except json.JSONDecodeError:
            return


def _changed(path: Path) -> float:
    return path.stat().st_mtime


def _refuse_leftovers(path: Path) -> None:
    """InputError while Slurm still has jobs of a run that did not end by itself: a second job would write the same
    files.
    """
    if not path.is_file() or shutil.which("squeue") is None:
        return
    earlier = Run.read(path)
    if earlier.slurm is None or earlier.ended:
        return
    asked = subprocess.run(
        ["squeue", "--noheader", "--name", earlier.slurm, "--format", "%i"], capture_output=True, text=True, check=False
    )
    if left := asked.stdout.split():
        raise InputError(
            f"{len(left)} jobs of a killed Snakemake run are still in Slurm's queue (squeue --name {earlier.slurm}):"
            f" wait for them, their results are kept; or cancel them with scancel --name {earlier.slurm}; then start"
            " again"
        )
