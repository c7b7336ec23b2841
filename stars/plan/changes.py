"""The jobs that a run would execute, why, and for how long, in a few lines: a readable `snakemake --dry-run`.

The reason follows from comparing a job with the command that made its last result: settings, source or rebuilt inputs.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from tqdm import tqdm

from stars.config import Config
from stars.plan import duration
from stars.plan.jobs import Job
from stars.plan.rates import Machine, Own
from stars.program import program
from stars.provenance import code
from stars.provenance.changes import changed_source, in_words
from stars.provenance.lineage import Lineage, Record

CONFIG = "config/config.yaml"  # what Snakemake reads without --configfile
MOST = 10  # lines
NAMED = 3  # settings, or methods, that a line names
NEW, FOLLOWS = "not made yet", "depends on results above"


@dataclass(frozen=True)
class Change:
    """A job that would run: its result, why, and its seconds; None if unknown."""

    job: Job
    why: str
    seconds: float | None

    @property
    def what(self) -> str:
        """The stage, and what distinguishes its jobs: a method, or a table's number."""
        folder = Path(self.job.option("out"))
        if self.job.stage == "table":
            return f"table {self.job.settings.get('number', '')}"
        return " ".join([self.job.stage, *(self.job.named or _method(folder))])


def _method(folder: Path) -> tuple[str, ...]:
    """The method of a results folder; empty for a folder of a data set."""
    return folder.parts[2:3] if len(folder.parts) > 2 and "_" in folder.parts[1] else ()


def changes(jobs: Sequence[Job], results: Path, config: Config, machine: Machine, own: Own) -> list[Change]:
    """Each of Snakemake's jobs with its reason, and the time that it took before or would take at measured speeds."""
    records = {}
    for record in Lineage.read(results).records:
        try:
            records[_key(Job.of(record.told["command"][1:]))] = record
        except (IndexError, ValueError):  # made by hand, or in Python
            continue
    before = [records.get(_key(job)) for job in jobs]
    made = {path for record in before if record for path in record.outputs}
    return [
        Change(job, _why(job, record, made, results), duration.of_job(job, _before(record), config, machine, own))
        for job, record in zip(jobs, before, strict=True)
    ]


def _key(job: Job) -> tuple[object, ...]:
    """The identity of a job's result, independent of its settings."""
    number = job.settings.get("number") if job.stage == "table" else None
    return job.stage, job.named, job.option("out"), job.option("target"), job.option("setup"), number


def _why(job: Job, record: Record | None, made: set[Path], results: Path) -> str:
    if record is None:
        return NEW
    earlier = Job.of(record.told["command"][1:])
    if words := in_words(earlier.settings, job.settings):
        return ", ".join(words[:NAMED]) + (f" and {len(words) - NAMED} more" if len(words) > NAMED else "")
    if gone := [path for path in record.outputs if not (results.parent / path).is_file()]:
        return f"{gone[0]} is missing"
    if made & record.inputs.keys():
        return FOLLOWS
    if record.told["code"]["digest"] != code.today(record.stage):
        now = {"digest": "", "modules": code.parts_of(record.stage)} if code.today(record.stage) else {"digest": ""}
        return changed_source(record.told["code"], now)[0]
    return (
        "set of input files changed"
        if earlier.options.get("files") != job.options.get("files")
        else "input changed, or forced"
    )


def _before(record: Record | None) -> float | None:
    return None if record is None else float(record.told["wall_seconds"])


def lines(found: Sequence[Change]) -> Iterator[str]:
    """At most ten lines: the total, then one line per reason; jobs that only depend on others come last."""
    if not found:
        yield "nothing to do: every result is up to date"
        return
    yield f"{_jobs(len(found))}, {_time(found)} if run one at a time"
    reasons: dict[str, list[Change]] = {}
    for one in found:
        reasons.setdefault(one.why, []).append(one)
    ordered = sorted(reasons.items(), key=lambda entry: (entry[0] == FOLLOWS, entry[0] == NEW))
    shown = (
        ordered
        if len(ordered) < MOST
        else [*ordered[: MOST - 3], *(entry for entry in ordered[MOST - 3 :] if entry[0] == FOLLOWS)]
    )
    for why, same in shown:
        yield f"  {_things(same)}: {why} ({_time(same)})"
    if left := len(ordered) - len(shown):
        yield (
            f"  and {_jobs(sum(len(same) for _, same in ordered) - sum(len(same) for _, same in shown))} for {left}"
            " other reasons"
        )


def command(files: Sequence[str], overrides: Mapping[str, Any], targets: Sequence[str]) -> str:
    """The Snakemake command that runs the jobs, ready to paste."""
    words = ["--cores", "2"]
    words += ["--configfile", *files] if [*files] != [CONFIG] else []
    words += ["--config", *as_config(overrides)] if overrides else []
    return f"{program('snakemake')} {shlex.join([*words, *(['--'] if targets and len(words) > 2 else []), *targets])}"


def as_config(overrides: Mapping[str, Any]) -> list[str]:
    """Overrides as the values of Snakemake's --config."""
    return [f"{name}={_on_one_line(value)}" for name, value in overrides.items()]


def _on_one_line(value: Any) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=float("inf"))
    return text.removesuffix("...\n").strip()


def _things(same: Sequence[Change]) -> str:
    """Names of a few jobs; for many jobs, counts per stage."""
    names = list(dict.fromkeys(one.what for one in same))
    if len(names) <= NAMED:
        return ", ".join(names)
    counts: Mapping[str, int] = Counter(one.job.stage for one in same)
    return ", ".join(stage if count == 1 else f"{count} {stage}" for stage, count in counts.items())


def _jobs(count: int) -> str:
    return "1 job" if count == 1 else f"{count} jobs"


def _time(found: Sequence[Change]) -> str:
    known = [one.seconds for one in found if one.seconds is not None]
    more = f" and {len(found) - len(known)} of unknown length" if len(known) < len(found) else ""
    return f"about {tqdm.format_interval(round(sum(known)))}{more}"
