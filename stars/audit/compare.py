"""Compares two results folders: settings, numbers, and significance of differences."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from stars.audit.history import value
from stars.audit.predictions import PREDICTIONS, repetitions
from stars.errors import InputError
from stars.evaluation.statistics import paired_p
from stars.provenance.changes import changed_source, in_words
from stars.provenance.files import read_json, read_npz
from stars.provenance.ledger import METRICS
from stars.provenance.lineage import Lineage, Record


def compare(first: Path, second: Path, metric: str = "top1") -> Iterator[str]:
    """Lines in up to four parts: settings, source, numbers, results in only one folder.

    p-values come from the paired bootstrap over test clips; a dash if the two were not scored on the same clips, or if
    `metric` is not the headline accuracy, "top1".

    Raises:
        InputError: a folder without records.
    """
    sides = [_by_place(folder) for folder in (first, second)]
    shared = [place for place in sides[0] if place in sides[1]]
    pairs = {place: (sides[0][place].told, sides[1][place].told) for place in shared}
    yield from _part(
        "settings", ((place, in_words(one["settings"], other["settings"])) for place, (one, other) in pairs.items())
    )
    yield from _part(
        "source", ((place, changed_source(one["code"], other["code"])) for place, (one, other) in pairs.items())
    )
    measured = [place for place in shared if all((folder / place / METRICS).is_file() for folder in (first, second))]
    yield from _part(
        f"numbers ({metric})", ((place, [_number(first / place, second / place, metric)]) for place in measured)
    )
    yield from _part(
        f"only in {first}", ((place, [record.stage]) for place, record in sides[0].items() if place not in sides[1])
    )
    yield from _part(
        f"only in {second}", ((place, [record.stage]) for place, record in sides[1].items() if place not in sides[0])
    )


def _by_place(results: Path) -> dict[str, Record]:
    records = Lineage.read(results).records
    if not records:
        raise InputError(f"{results} contains no records: give a results folder that the workflow wrote")
    return {record.place: record for record in records}


def _part(title: str, found: Iterator[tuple[str, list[str]]]) -> Iterator[str]:
    """A title and its lines; nothing without lines."""
    lines = [f"  {place}: {words}" for place, several in found for words in several]
    yield from ([title, *lines] if lines else [])


def _number(first: Path, second: Path, metric: str) -> str:
    ours, others = (value(read_json(folder / METRICS), metric) for folder in (first, second))
    if ours is None or others is None:
        return " → ".join("–" if found is None else f"{found:g}" for found in (ours, others))
    p = significance(first, second) if metric == "top1" else None
    shown = "" if metric != "top1" else "  p –, other clips" if p is None else f"  p {p:.4f}"
    return f"{ours:g} → {others:g}  {others - ours:+.4g}{shown}"


def significance(first: Path, second: Path) -> float | None:
    """Two-sided p-value of the difference of two headlines, averaged over repetitions; None if the test clips differ.

    Args:
        first, second: folders of an evaluation.
    """
    names, right = zip(*(_right(folder) for folder in (first, second)), strict=True)
    return paired_p(*right) if np.array_equal(*names) else None


def _right(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Names and labels of the test clips (N,), and correctness in each repetition of the headline (N, repetitions)."""
    path, repeated = folder / PREDICTIONS, repetitions(read_json(folder / METRICS))
    found = read_npz(path, ("name", "label", *repeated))
    of = np.array([f"{name} {label}" for name, label in zip(found["name"], found["label"], strict=True)])
    return of, np.stack([found[array] == found["label"] for array in repeated], axis=1)
