"""Expected time of jobs: their last time, otherwise measured speeds; and the time left of a run."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from stars import shipped
from stars.config import Config
from stars.errors import InputError
from stars.plan import jobs, rates, summary, work
from stars.provenance.files import read_json

RATES = Path("config/rates.csv")
PRIOR = 10.0  # seconds of jobs that were as long as expected, assumed before any has finished


def of_job(job: jobs.Job, before: float | None, config: Config, machine: rates.Machine, own: rates.Own) -> float | None:
    """Seconds of a job: those of its work when it last ran (`before`), otherwise at measured speeds; None if unknown."""
    if before is not None:
        return before + machine.start(job.stage)
    (stage,) = summary.stages([job], config, machine, own)
    hours = (stage.gpu_hours, stage.cpu_hours)
    return None if stage.unknown or None in hours else 3600 * sum(one for one in hours if one)


def left(
    expected: Mapping[int, float],
    needs: Mapping[int, Iterable[int]],
    shares: Mapping[int, float],
    done: Mapping[int, float],
    running: Mapping[int, float],
) -> float:
    """Seconds until the end of a run, from the seconds that its jobs took or are expected to take.

    Args:
        expected: of every job.
        needs: jobs that each job waits for.
        shares: of the machine that each job takes, from 0 to 1; without a share, all of it.
        done: measured, of finished jobs; their ratio to the expected ones corrects the other estimates.
        running: so far, of jobs under way; late ones also correct the estimates, if they raise that ratio.
    """
    late = {job: took for job, took in running.items() if took > expected.get(job, 0.0)}
    pace = max(_pace(expected, done), _pace(expected, {**done, **late}))
    rest = {job: max(pace * expected[job] - running.get(job, 0.0), 0.0) for job in expected.keys() - done.keys()}

    @functools.cache
    def chain(job: int) -> float:
        return rest.get(job, 0.0) + max(map(chain, needs.get(job, ())), default=0.0)

    work = sum(seconds * shares.get(job, 1.0) for job, seconds in rest.items())
    return max(work, *map(chain, rest), 0.0)


def _pace(expected: Mapping[int, float], measured: Mapping[int, float]) -> float:
    """Measured per expected seconds, near 1 while little was measured."""
    return (sum(measured.values()) + PRIOR) / (sum(expected.get(job, 0.0) for job in measured) + PRIOR)


def expected(told: Mapping[int, tuple[str, Sequence[str]]], config: Config) -> dict[int, float]:
    """Seconds of each job, from its shell command and outputs; a job of unknown duration counts as the longest known.
    Loads no backbone.

    Empty if no machine's speeds are known.
    """
    try:
        known = [
            machine
            for machine in rates.load(shipped.found(RATES)).values()
            if machine.gpu == (config.compute.device == "cuda")
        ]
    except InputError:
        known = []
    if not known:
        return {}
    found = {
        number: _seconds(command, _before(outputs), config, known[0]) for number, (command, outputs) in told.items()
    }
    longest = max((seconds for seconds in found.values() if seconds is not None), default=0.0)
    return {number: longest if seconds is None else seconds for number, seconds in found.items()}


def _before(outputs: Sequence[str]) -> float | None:
    """Seconds of a job's work when it last made these files, according to its record."""
    try:
        return next(float(read_json(path)["wall_seconds"]) for path in outputs if path.endswith("record.json"))
    except (StopIteration, InputError, KeyError, TypeError, ValueError):
        return None


def _seconds(command: str, before: float | None, config: Config, machine: rates.Machine) -> float | None:
    found = list(jobs.parse(jobs.COMMAND + command.removeprefix("stars ")))
    if not found:
        return machine.rates.get("start", 0.0)
    if before is None and work.needs_network(found[0], config):
        return None
    return of_job(found[0], before, config, machine, {})
