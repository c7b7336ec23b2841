"""Read this pipeline's results for tables and figures: one entry of a metrics.json each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stars.config import Settings, key
from stars.errors import InputError, shown
from stars.provenance.files import read_json

NOT_RUN = "No result of this method on this data in this configuration."
REHEARSED = "No result: max_steps stopped one of its trainings early."


class Run(Settings):
    """One result that a table may show."""

    method: str = key(..., "method's key; the published row with this `recipe` is its counterpart")
    title: str = key(..., "method's name in the table")
    data: str = key(..., "key of the data set it was tested on")
    data_title: str = key(..., "data set's name in the table")
    split: str = key(..., "split's key")
    split_title: str = key(..., "split's name in the table")
    variant: str | None = key(None, "what else distinguishes a column, e.g. 1shot, 10pct or from_ntu60")
    variant_title: str | None = key(None, "the variant's name in the table")
    source_title: str | None = key(
        None, "data that the encoder was trained on, if it is another one and not part of the variant"
    )
    input: str = key("Single-stream", "its streams, in words")
    backbone: str = key("Transformer", "its network, in words")
    seed: int = key(..., "seed of training")
    counts: tuple[int | None, int] | None = key(
        None,
        "training and test clips of the paper's complete data (training null: any number); null: the data is not the"
        " paper's",
    )
    select: dict[str, int | float | str] = key(
        {}, "entry of metrics.json's `results` that is shown; empty: the table's selection, or the main result"
    )
    rehearsal: bool = key(False, "`max_steps` stops one of its trainings early: its accuracy is not shown")
    arrays: tuple[str, ...] = key((), "its arrays in predictions.npz, one per repetition; empty: no p-value")

    @property
    def column(self) -> str:
        """{data}_{split}, or {data}_{split}_{variant}."""
        return "_".join(part for part in (self.data, self.split, self.variant) if part)

    @property
    def name(self) -> str:
        """Key of this run's metrics file among the inputs of a table."""
        return f"{self.column}/{self.method}/{self.seed}"


@dataclass(frozen=True)
class Accuracy:
    """Top-1 in percent, its standard deviation over a protocol's repetitions (None: only one), training and test
    clips.
    """

    top1: float
    std: float | None
    clips: tuple[int, int]


@dataclass(frozen=True)
class Result:
    """A run, its accuracy (None: see `reason`), the source file, and whether the data is the paper's complete data."""

    run: Run
    found: Accuracy | None
    source: str
    clips: tuple[int, int] | None
    complete: bool
    reason: str = ""


def read(run: Run, path: Path | None, select: Mapping[str, Any]) -> Result:
    """Read one result from its metrics.json; without a file, it is a dash."""
    if path is None:
        return Result(run, None, "", None, run.counts is not None, NOT_RUN)
    wanted = {**select, **run.select}
    found, clips = accuracy(path, wanted)
    if run.rehearsal:
        return Result(run, None, str(path), clips, whole(clips, run.counts), REHEARSED)
    reason = "" if found else f"Not evaluated at {described(wanted)}."
    return Result(run, found, str(path), clips, whole(clips, run.counts), reason)


def whole(clips: tuple[int, int], counts: tuple[int | None, int] | None) -> bool:
    """Whether a result has as many clips as the paper's complete data; a count of None is not compared."""
    return counts is not None and clips[1] == counts[1] and counts[0] in (None, clips[0])


def accuracy(path: Path, wanted: Mapping[str, Any]) -> tuple[Accuracy | None, tuple[int, int]]:
    """The entry of metrics.json's `results` with these values (none given: the main result), or None; and the clips.

    Raises:
        InputError: the file is missing, is no metrics file, or has several such entries.
    """
    found = read_json(path)
    try:
        clips = (int(found["train_clips"]), int(found["test_clips"]))
        matches = [entry for entry in found["results"] if wanted.items() <= entry.items()] if wanted else [found]
        values = [(float(entry["top1"]), entry.get("std")) for entry in matches]
        clips = (int(matches[0].get("train_clips", clips[0])), clips[1]) if matches else clips
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{path} is not a metrics file ({shown(error)}): delete it and run again") from None
    if not values:
        return None, clips
    top1, std = values[0]
    if len(values) > 1 or not 0 <= top1 <= 100 or not isinstance(std, int | float | None):
        raise InputError(f"{path}: expected one accuracy in percent for {described(wanted) or 'top1'}, found {values}")
    return Accuracy(top1, std, clips), clips


def described(wanted: Mapping[str, Any]) -> str:
    """`output = encoder, k = 10`."""
    return ", ".join(f"{name} = {value}" for name, value in wanted.items())
