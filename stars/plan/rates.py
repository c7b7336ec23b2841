"""Measured speeds: of named machines, and of this user's own runs, which take precedence."""

from __future__ import annotations

import csv
import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stars.config import Config
from stars.errors import InputError, shown
from stars.pipeline import stages
from stars.plan import work
from stars.plan.besides import DRAWN, LIGHT, OPTIMISED
from stars.plan.jobs import Job
from stars.provenance.files import read_json

FIELDS = ["machine", "gpu", "work", "rate", "unit", "source"]
ARITHMETIC = ("train", "encode", "train bf16", "encode bf16")
# stars.plan.besides
BESIDES = {"hash": "MB/s", "load": "MB/s", "cut": "frames/s", "copy": "MB/s", "compare": "GFLOP/s", "place": "points/s"}
STARTS = ("start", "train start", "draw start", "light")
UNITS = {**dict.fromkeys(ARITHMETIC, "GFLOP/s"), "read": "files/s", **dict.fromkeys(STARTS, "s"), **BESIDES}
FACTORS = {"GFLOP/s": 1e9, "MB/s": 1e6}
TRAINING = {stage.module: stage.name for stage in stages.STAGES.values() if stage.trains}

Own = dict[tuple[str, str], float]  # (stage, precision) → operations per second


@dataclass(frozen=True)
class Machine:
    """Rates of one machine: train and encode in operations per second (fp32, bf16), read in files per second; starts
    in seconds per job.
    """

    name: str
    gpu: bool
    rates: dict[str, float]
    sources: tuple[str, ...]

    def rate(self, done: work.Work) -> float | None:
        """Rate for a kind of work. A precision that was not measured counts as fp32, auto as the fastest measured."""
        plain, half = self.rates.get(done.kind), self.rates.get(f"{done.kind} bf16")
        if done.precision == "auto":
            return max((rate for rate in (plain, half) if rate is not None), default=None)
        return half if done.precision == "bf16" and half is not None else plain

    def seconds(self, stage: str, done: work.Work, own: Own) -> float | None:
        """Seconds of one job; None if a rate of computation or reading is unknown. Rates of this user's own runs
        include all their work.
        """
        start = self.start(stage)
        if done.amount and (rate := own_rate(own, stage, done.precision)):
            return start + done.amount / rate
        beside = {kind: amount / self.rates[kind] for kind, amount in done.besides.items() if kind in self.rates}
        if not done.amount:
            return start + sum(beside.values())
        rate, cut = self.rate(done), beside.pop("cut", 0.0)
        if rate is None:
            return None
        computed = done.amount / rate
        # a GPU computes while a CPU cuts
        return start + sum(beside.values()) + (max(computed, cut) if self.gpu else computed + cut)

    def start(self, stage: str) -> float:
        """Seconds of a job of this stage besides its work: a light stage does not import PyTorch, one that trains
        also imports its compiler, one that draws imports Matplotlib.
        """
        start = self.rates.get("start", 0.0)
        if stage in DRAWN:
            return self.rates.get("draw start", start)
        if stage in LIGHT:
            return self.rates.get("light", start)
        return self.rates.get("train start", start) if stage in ("linear", *OPTIMISED) else start

    def beside(self) -> dict[str, float]:
        """Its rates of everything but computation."""
        return {work: rate for work, rate in self.rates.items() if work not in ARITHMETIC}

    def assuming(self, operations: float) -> Machine:
        """The same machine, computing at so many operations per second."""
        assumed = f"{operations / 1e12:g} TFLOP/s are assumed, not measured"
        return Machine(
            self.name, self.gpu, {**self.beside(), "train": operations, "encode": operations}, (*self.sources, assumed)
        )


def load(path: Path) -> dict[str, Machine]:
    """The machines in a rates file; InputError with the line of an error."""
    try:
        rows = list(csv.DictReader(path.read_text(encoding="utf-8-sig").splitlines()))
    except FileNotFoundError:
        raise InputError(f"{path} is missing: restore it from the repository") from None
    found: dict[str, Machine] = {}
    for line, row in enumerate(rows, start=2):
        if list(row) != FIELDS or row["work"] not in UNITS or row["unit"] != UNITS[row["work"]]:
            raise InputError(f"{path}, line {line}: the columns must be {', '.join(FIELDS)}, the units {UNITS}")
        try:
            rate = float(row["rate"]) * FACTORS.get(row["unit"], 1)
        except ValueError:
            rate = 0.0
        if not 0 < rate < float("inf"):
            raise InputError(f"{path}, line {line}: rate must be a number above 0, found {shown(row['rate'])}")
        one = found.get(row["machine"], Machine(row["machine"], row["gpu"] == "yes", {}, ()))
        found[row["machine"]] = Machine(one.name, one.gpu, {**one.rates, row["work"]: rate}, _sources(rows, one.name))
    return found


def _sources(rows: Sequence[Mapping[str, str]], machine: str) -> tuple[str, ...]:
    """Where a machine's rates come from: "train, encode: …"."""
    measured: dict[str, list[str]] = {}
    for row in rows:
        if row["machine"] == machine:
            measured.setdefault(row["source"], []).append(row["work"])
    return tuple(f"{', '.join(works)}: {source}" for source, works in measured.items())


def own(config: Config, results: Path, gpu: bool) -> Own:
    """Operations per second in this user's finished runs of the configured methods, on a GPU or not: medians per stage
    and precision.

    Runs with another model or number of clips than configured are left out, since their work would be counted wrongly.
    """
    measured: dict[tuple[str, str], list[float]] = {}
    for path in sorted(results.glob("*_*/*/**/record.json")):
        record = read_json(path)
        stage = TRAINING.get(record.get("stage", "").partition("+")[0])  # a tuning's also contains its loss
        if stage and bool(record["hardware"].get("gpu")) == gpu and (found := _rate(record, stage, path, config)):
            precision, rate = found
            measured.setdefault((stage, precision), []).append(rate)
    return {which: statistics.median(rates) for which, rates in measured.items()}


def own_rate(own: Own, stage: str, precision: str) -> float | None:
    """This user's rate of a stage. For `auto`, the highest, since records contain the precision that was chosen."""
    found = [rate for (name, computed), rate in own.items() if name == stage and precision in (computed, "auto")]
    return max(found, default=None)


def _rate(record: Mapping[str, Any], stage: str, path: Path, config: Config) -> tuple[str, float] | None:
    """Precision and operations per second of one finished job; None if the configuration would run it differently
    now.
    """
    read = {role: (record["inputs"][role]["path"],) for role in ("train", "test") if role in record["inputs"]}
    job = Job(stage, {"out": (str(path.parent),), **read}, record["settings"])
    done = work.of(job, config)
    seconds = record["wall_seconds"] + sum(leg["seconds"] for leg in record["notes"].get("earlier_runs", ()))
    precision = record["notes"].get("precision", done.precision)
    return (
        (precision, done.amount / seconds)
        if done.known and done.amount and seconds and _alike(record, job, config)
        else None
    )


def _alike(record: Mapping[str, Any], job: Job, config: Config) -> bool:
    """Whether a job ran the configured model and number of training clips, from which its work is counted."""
    encoder, size = work.encoder_for(job, config), work.size_for(job, config)
    if encoder is None or size is None or _model(record) != json.loads(encoder.model):
        return False
    expected = record["settings"].get("fraction", 1) * size.train
    return bool(abs(record["notes"].get("train_clips", 0) - expected) < 1)  # a subset is rounded down


def _model(record: Mapping[str, Any]) -> Any:
    """The model block of a job, or of the training of its encoder; None without a record of it."""
    if "model" in record["settings"]:
        return record["settings"]["model"]
    if "networks" in record["settings"]:
        return record["settings"]["networks"][0]["model"]
    behind = record["inputs"].get("parent") or record["inputs"].get("encoder")
    path = Path(behind["path"]).with_name("record.json") if behind else None
    return _model(read_json(path)) if path and path.is_file() else None
