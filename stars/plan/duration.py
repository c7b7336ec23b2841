"""Expected time of jobs, from their shell commands: their last time, otherwise measured speeds; loads no backbone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from stars import shipped
from stars.config import Config
from stars.errors import InputError
from stars.pipeline.resolve import TRANSFORMER
from stars.plan import jobs, rates, summary, work
from stars.provenance.files import read_json

RATES = Path("config/rates.csv")


def expected(told: Mapping[int, tuple[str, Sequence[str]]], config: Config) -> dict[int, float]:
    """Seconds of each job, from its shell command and outputs; a job of unknown duration counts as the longest known.

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
        number: _before(outputs) or _seconds(command, config, known[0]) for number, (command, outputs) in told.items()
    }
    longest = max((seconds for seconds in found.values() if seconds is not None), default=0.0)
    return {number: longest if seconds is None else seconds for number, seconds in found.items()}


def _before(outputs: Sequence[str]) -> float | None:
    """Seconds that a job took when it last made these files, according to its record."""
    try:
        return next(float(read_json(path)["wall_seconds"]) for path in outputs if path.endswith("record.json"))
    except (StopIteration, InputError, KeyError, TypeError, ValueError):
        return None


def _seconds(command: str, config: Config, machine: rates.Machine) -> float | None:
    found = list(jobs.parse(jobs.COMMAND + command.removeprefix("stars ")))
    if not found:
        return machine.rates.get("start", 0.0)
    encoder = work.encoder_for(found[0], config)
    if found[0].stage == "train" or (encoder and encoder.backbone != TRANSFORMER):  # counted by torch
        return None
    (stage,) = summary.stages(found, config, machine, {})
    hours = (stage.gpu_hours, stage.cpu_hours)
    return None if stage.unknown or None in hours else 3600 * sum(one for one in hours if one)
