"""Subsets of a split for training: a fraction of the training clips, or a few clips of each novel class."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from pydantic import Field

from stars.config import Settings
from stars.data.store import TABLE, read_table
from stars.errors import InputError
from stars.provenance.files import read_npy, write_npy
from stars.provenance.record import recording

STAGE = "stars.data.subsets"
SUBSET, EXEMPLAR = 1, 2  # purpose of a permutation, the first part of its seed


class SubsetStage(Settings):
    """Settings of the semi-supervised protocol's subsets; the training clips are their input."""

    fraction: float = Field(gt=0, le=1)
    subsets: int = Field(ge=1)


class ExemplarStage(Settings):
    """Settings of the few-shot protocol's exemplars; `novel` are action numbers."""

    shots: int = Field(ge=1)
    draws: int = Field(ge=1)
    novel: tuple[int, ...] = Field(min_length=1)


def subsets(train: Path, out: Path, settings: SubsetStage) -> None:
    """Write {fraction}_{0, 1, …}.npy, ascending int64 rows of clips.csv, and {fraction}.record.json into folder `out`.

    InputError if a subset would be empty.
    """
    name = f"{settings.fraction:g}"
    files = [f"{name}_{number}.npy" for number in range(settings.subsets)]
    with recording(
        out, STAGE, settings.model_dump(mode="json"), {"train": train}, files, f"{name}.record.json"
    ) as notes:
        rows = read_npy(train)
        found = pieces(rows, settings.fraction, settings.subsets)
        if not found:
            raise InputError(
                f"semi.fractions: {name} of the {len(rows)} training clips in {train} is less than one clip: raise the"
                " fraction"
            )
        for file, subset in zip(files, found, strict=True):
            write_npy(Path(out) / file, subset)
        notes["clips"] = len(found[0])


def pieces(rows: np.ndarray, fraction: float, number: int) -> list[np.ndarray]:
    """Subsets of ⌊fraction · N⌋ of the rows (N,), each ascending: consecutive pieces of one random permutation, which
    wraps around. Empty if that is less than one row.

    The subsets are disjoint while number · fraction ≤ 1. Classes are not balanced: the paper samples at random.
    """
    size = math.floor(round(fraction * len(rows), 6))  # .29 · 100 is 28.999999999999996
    order = np.random.default_rng(SUBSET).permutation(rows)
    return [
        np.sort(order.take(range(start, start + size), mode="wrap")) for start in range(0, number * size, size or 1)
    ]


def exemplars(clips: Path, train: Path, out: Path, settings: ExemplarStage) -> None:
    """Write {shots}_{0, 1, …}.npy, ascending int64 rows of clips.csv, and {shots}.record.json into folder `out`.

    Each file has `shots` training clips of every novel class that occurs in the data set. A draw with fewer shots is a
    subset of the draw of the same number with more.

    Raises:
        InputError: no clip of a novel class, or a class with fewer training clips than shots.
    """
    table, name = read_table(Path(clips) / TABLE), f"{settings.shots}"
    files = [f"{name}_{draw}.npy" for draw in range(settings.draws)]
    inputs = {"clips": Path(clips) / TABLE, "train": train}
    with recording(out, STAGE, settings.model_dump(mode="json"), inputs, files, f"{name}.record.json") as notes:
        actions, rows = table["action"].to_numpy(), read_npy(train)
        novel = sorted(set(settings.novel) & set(actions.tolist()))
        if not novel:
            raise InputError(
                f"{clips} has no clips of the novel actions {_first(settings.novel)}: choose another data set for"
                " few-shot"
            )
        for draw, file in enumerate(files):
            write_npy(
                Path(out) / file,
                np.sort(np.concatenate([_drawn(rows, actions, action, draw, settings) for action in novel])),
            )
        notes["classes"] = len(novel)


def _drawn(rows: np.ndarray, actions: np.ndarray, action: int, draw: int, settings: ExemplarStage) -> np.ndarray:
    """The first clips of one action's shuffled training clips."""
    own = rows[actions[rows] == action]
    if len(own) < settings.shots:
        raise InputError(
            f"few_shot.shots: {settings.shots}, but action {action} has only {len(own)} training clips: lower it"
        )
    return np.random.default_rng((EXEMPLAR, draw, action)).permutation(own)[: settings.shots]


def _first(numbers: Iterable[int]) -> str:
    found = [str(number) for number in numbers]
    return ", ".join(found[:5]) + (" …" if len(found) > 5 else "")
