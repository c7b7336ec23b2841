"""p-values of a table: each tuned method of this run compared with the method it started from, on the same test clips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from stars.errors import InputError
from stars.evaluation.statistics import paired_p
from stars.paper.grid import Cell, Row
from stars.paper.results import NOT_RUN, Result
from stars.provenance.files import read_npz

GROUP = "p-value of the difference, this run"
NOT_KEPT = "No p-value: the protocol does not store a prediction for every test clip of this entry."
P_NOTE = (
    "p: two-sided p-value for equal accuracy of two methods of this run: paired bootstrap over test clips (10,000"
    " resamples; averaged over seeds and repetitions). It does not include the variation between trainings."
)


def behind(name: str) -> str:
    """Role of a run's predictions.npz."""
    return f"predictions of {name}"


def p_rows(
    pairs: Sequence[tuple[str, str]],
    results: Mapping[tuple[str, str], Sequence[Result]],
    columns: Sequence[str],
    files: Mapping[str, Path],
) -> list[Row]:
    """A row for each pair of methods with results of both.

    Args:
        pairs: (method, the one it is compared with).
        results: (method, column) → one result per seed.
        files: predictions.npz by `behind` of a run.
    """
    rows = []
    for method, other in pairs:
        cells = {
            column: _cell(results.get((method, column), ()), results.get((other, column), ()), files)
            for column in columns
        }
        names = {name: found[0].run.title for (name, _), found in results.items()}
        rows.append(Row("p-value", GROUP, f"{names.get(method)} against {names.get(other)}", cells, recipe=method))
    return [row for row in rows if row.measured]


def _cell(first: Sequence[Result], second: Sequence[Result], files: Mapping[str, Path]) -> Cell:
    both = [*first, *second]
    if not (first and second) or any(result.found is None for result in both):
        return Cell(reason=next((result.reason for result in both if result.reason), NOT_RUN))
    if not all(behind(result.run.name) in files for result in both):
        return Cell(reason=NOT_KEPT)
    paths = [files[behind(result.run.name)] for result in both]
    found = [_right(path, result.run.arrays) for path, result in zip(paths, both, strict=True)]
    if not all(np.array_equal(names, found[0][0]) for names, _ in found):
        raise InputError(f"{paths[0]} and {paths[-1]} have different test clips: run the protocol again")
    ours, others = (
        np.concatenate([right for _, right in side], axis=1) for side in (found[: len(first)], found[len(first) :])
    )
    p = paired_p(ours, others)
    return Cell(p, seeds=tuple(result.run.seed for result in first), sources=tuple(map(str, paths)))


def _right(path: Path, arrays: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Clip names (N,) and whether each is classified correctly in each repetition (N, repetitions)."""
    found = read_npz(path, ("name", "label", *arrays))
    return found["name"], np.stack([found[array] == found["label"] for array in arrays], axis=1)
