"""Terminal output of a run: one line per job, with time left and reason. Snakemake's own log contains everything.

`snakemake --printshellcmds` or `--verbose` prints Snakemake's own output instead.
"""

from __future__ import annotations

import logging
import re
import textwrap
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tqdm import tqdm

from stars.config import Config
from stars.paper.summary import PAGE
from stars.plan import duration
from stars.program import program
from stars.provenance import ledger

# Beginning of Snakemake's reason → ours. If a job has several, the first in this list is shown.
REASONS = {
    "Forced execution": "forced",
    "Missing output files": "missing",
    "Incomplete output files": "incomplete",
    "Params have changed": "settings changed",
    "Code has changed": "code changed",
    "Updated input files": "input changed",
    "Input files updated by another job": "input changed",
    "Set of input files has changed": "input changed",
    "Software environment definition has changed": "environment changed",
}
NOTHING = "Nothing to be done"
# Errors of a failed job: the end of the run prints them, with the job's own message.
TOLD = ("RuleException:\nCalledProcessError", "WorkflowError:\nAt least one job did not complete successfully.")
# An exception from the workflow's files: text before its message, and after.
HEAD = r'(?:WorkflowError|InputFunctionException)\b[^\n]* in file "[^\n]*", line \d+:\n(?:Error:\n +WorkflowError:\n)?'
PLACE = r"(?=\nWildcards:|\n  File |\Z)"
BEGUN = "{jobs}. Logs: {logs}. Epoch and loss: {stars} status"
RESULTS = Path("results")


class Terminal(logging.StreamHandler[Any]):
    """Handler of Snakemake's own logger, in place of the one that writes to the terminal.

    Args:
        shown: Snakemake's handler, whose stream and filters (`--quiet`) it takes over.
        workflow: Snakemake's workflow.

    Attributes:
        config: the configuration, from which the expected time of jobs is computed.
    """

    def __init__(self, shown: logging.StreamHandler[Any], workflow: Any) -> None:
        super().__init__(shown.stream)
        self.filters = list(shown.filters)
        self.workflow = workflow
        self.config: Config | None = None
        self.jobs: dict[int, tuple[str, str]] = {}  # of each started job: what it is, and why it runs
        self.expected: dict[int, float] = {}  # seconds of every job
        self.needs: dict[int, list[int]] = {}  # jobs that each job waits for
        self.shares: dict[int, float] = {}  # of the machine's cores or GPUs that each job takes
        self.begun: dict[int, float] = {}
        self.done: dict[int, float] = {}  # measured seconds
        self.outputs: set[str] = set()
        self.began = time.monotonic()
        self.total = self.told = 0
        self.failed = False

    def emit(self, record: logging.LogRecord) -> None:
        """Print the lines for a record, if any."""
        try:
            for line in self._lines(record):
                self.stream.write(f"{line}\n")
            self.flush()
        except Exception:
            self.handleError(record)

    def _lines(self, record: logging.LogRecord) -> Iterator[str]:
        told, event = vars(record), str(getattr(record, "event", ""))
        if event == "run_info":
            yield from self._plan(record.getMessage(), told["stats"])
        elif event == "job_info" and told["output"]:
            yield from self._start(told)
        elif event == "job_finished":
            now = time.monotonic()
            self.done[told["job_id"]] = now - self.begun.get(told["job_id"], now)
            if self.workflow.remote_exec and told["job_id"] in self.jobs:
                yield self._line(told["job_id"])
        elif event == "job_error":
            self.failed = True
            if self.workflow.execution_settings.keep_going:
                yield f"failed (other jobs continue): {self._what(told['jobid'])}"
        elif event == "error":
            yield from [] if record.getMessage().startswith(TOLD) else [one_line(record.getMessage())]
        elif not event:
            yield from self._message(record)

    def _plan(self, table: str, stats: Mapping[str, int]) -> Iterator[str]:
        """The number of jobs: after a dry run Snakemake's table, before a run one line."""
        if self.workflow.dryrun:
            yield from ["", table.rstrip()] if self.jobs else []
            return
        targets = {rule.name for rule in self.workflow.rules if not rule.output}
        self.total = sum(count for rule, count in stats.items() if rule not in targets and rule != "total")
        if self.config is not None:
            jobs = {self.workflow.dag.jobid(job): job for job in self.workflow.dag.needrun_jobs() if job.output}
            self.expected = duration.expected(
                {number: (job.shellcmd or "", job.output) for number, job in jobs.items()}, self.config
            )
            self.shares = {number: self._share(job) for number, job in jobs.items()}
            dag = self.workflow.dag
            self.needs = {number: [dag.jobid(one) for one in dag.dependencies[job]] for number, job in jobs.items()}
        self.began = time.monotonic()
        logs = [str(Path(path).relative_to(Path.cwd())) for path in self.workflow.logger_manager.get_logfile()]
        yield BEGUN.format(jobs=self._jobs(), logs=", ".join(["results/logs", *logs]), stars=program("stars"))

    def _start(self, told: Mapping[str, Any]) -> Iterator[str]:
        number, again = told["jobid"], told["jobid"] in self.jobs
        self.jobs[number] = told["rule_msg"] or told["rule_name"], reason(told["reason"])
        self.begun[number] = time.monotonic()
        self.outputs |= {*told["output"]}
        if self.workflow.dryrun:
            yield self._what(number)
        elif not self.workflow.remote_exec and not again:
            yield self._line(number)

    def _line(self, number: int) -> str:
        self.told += 1
        now, width = time.monotonic(), len(str(self.total))
        left = self._left(now)
        about = "" if left is None else f"  about {tqdm.format_interval(round(left))} left"
        return (
            f"[{self.told:{width}}/{self.total}  {tqdm.format_interval(int(now - self.began))}{about}] "
            f" {self._what(number)}"
        )

    def _left(self, now: float) -> float | None:
        """Seconds until the end; elsewhere, as many jobs as are under way run at once, for the expected time, since
        they may have waited in a queue.
        """
        if not self.expected:
            return None
        running = {number: now - self.begun[number] for number in self.begun.keys() - self.done.keys()}
        if not self.workflow.remote_exec:
            return duration.left(self.expected, self.needs, self.shares, self.done, running)
        shares = dict.fromkeys(self.expected, 1 / max(1, len(running)))
        done = {number: self.expected.get(number, 0.0) for number in self.done}
        return duration.left(self.expected, self.needs, shares, done, {})

    def _share(self, job: Any) -> float:
        """Fraction of this machine's cores, or of its GPUs, that a job takes."""
        cores, gpus = self.workflow.cores or 1, self.workflow.global_resources.get("gpu").value
        return max(job.threads / cores, job.resources.get("gpu", 0) / gpus if gpus else 0.0)

    def _what(self, number: int) -> str:
        what, why = self.jobs.get(number, (f"job {number}", ""))
        return f"{what} ({why})" if why else what

    def _next(self) -> Iterator[str]:
        """The page if this run made it, and the commands that print its numbers and what changed."""
        places = {
            f"Page: {RESULTS / PAGE}": str(RESULTS / PAGE) in self.outputs,
            f"Numbers: {program('stars')} results": any(RESULTS.glob("tables/table*.csv")),
            f"What changed: {program('stars')} history": any((RESULTS / ledger.FOLDER).glob("*")),
        }
        if any(places.values()):
            yield ". ".join(place for place, exists in places.items() if exists)

    def _jobs(self) -> str:
        return "1 job" if self.total == 1 else f"{self.total} jobs"

    def _message(self, record: logging.LogRecord) -> Iterator[str]:
        """Of Snakemake's other messages, the warnings and those about this run."""
        text = record.getMessage()
        if text.startswith("Elapsed time:"):
            if not self.failed:
                yield f"{self._jobs()} done in {tqdm.format_interval(int(time.monotonic() - self.began))}"
                yield from self._next()
        elif again := re.fullmatch(r"Trying to restart job (\d+)\.", text):
            yield f"retrying: {self._what(int(again[1]))}"
        # the end of the run reports it, with each job's message
        elif text.startswith("Exiting because a job execution failed"):
            return
        elif record.levelno >= logging.WARNING or text.startswith(
            (NOTHING, "Complete log(s)" if self.failed else NOTHING)
        ):
            yield text


def install(logger: logging.Logger, workflow: Any) -> Terminal | None:
    """Replace Snakemake's terminal handler by a `Terminal`, and log the shell commands; None if Snakemake's own output
    is requested.

    Args:
        logger: Snakemake's logger; workflow: Snakemake's workflow.
    """
    for handler in logger.handlers:
        if handler.name == "DefaultLogFileHandler":
            vars(handler.filters[0])["printshellcmds"] = True
    settings = workflow.output_settings
    shown = next((handler for handler in logger.handlers if handler.name == "DefaultStreamHandler"), None)
    wordy = settings.printshellcmds or settings.verbose or settings.debug_dag
    if wordy or not workflow.is_main_process or not isinstance(shown, logging.StreamHandler):
        return None
    terminal = Terminal(shown, workflow)
    logger.removeHandler(shown)
    logger.addHandler(terminal)
    return terminal


def reason(told: str) -> str:
    """Why a job runs, in at most three words, from Snakemake's own reason."""
    parts = told.split("; ")
    found = next((begins for begins in REASONS if any(part.startswith(begins) for part in parts)), None)
    if found is None:
        return "always"
    # settings are JSON; the only other parameter is the digest of the source
    if found == "Params have changed" and "{" not in told:
        return "code changed"
    return REASONS[found]


def one_line(text: str) -> str:
    """An error in the configuration or the arguments, without its place in the workflow's files; any other error as
    Snakemake prints it.
    """
    found = re.match(rf"{HEAD}(.*?){PLACE}", text, re.DOTALL)
    return f"stars: {textwrap.dedent(found[1]).strip()}" if found else text
