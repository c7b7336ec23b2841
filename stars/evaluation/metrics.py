"""What every protocol is asked and what it answers: the clips of a split, accuracies, metrics.json and predictions.npz."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stars.data.store import ClipStore
from stars.errors import InputError
from stars.provenance.files import atomic, read_npy, write_json

RESULT_FILES = ("metrics.json", "predictions.npz")
TOP = 5  # classes kept of a ranking
DRAWS = 1000  # bootstrap resamples


@dataclass(frozen=True)
class Task:
    """The clips a protocol learns from and those it is scored on. Rows are rows of clips.csv, ascending."""

    data: str
    train_rows: np.ndarray
    test_rows: np.ndarray
    names: np.ndarray
    labels: np.ndarray
    class_names: Mapping[int, str]

    @classmethod
    def of(cls, store: ClipStore, train: Path | str, test: Path | str, data: str) -> Task:
        """The task that two split files set on a clip store.

        Raises:
            InputError: a split file is missing, damaged, empty or does not fit the store, or a clip is on both sides.
        """
        train_rows, test_rows = (read_rows(path, len(store)) for path in (train, test))
        shared = np.intersect1d(train_rows, test_rows, assume_unique=True)
        if shared.size:
            raise InputError(f"clip {store.names[shared[0]]} is in both {train} and {test}: make the split again")
        return cls(data, train_rows, test_rows, np.array(store.names), np.asarray(store.labels), store.class_names)

    @property
    def train_labels(self) -> np.ndarray:
        return self.labels[self.train_rows]

    @property
    def test_labels(self) -> np.ndarray:
        return self.labels[self.test_rows]

    @property
    def classes(self) -> int:
        """Number of classes a classifier tells apart: labels are 0 … classes − 1."""
        return int(self.labels.max()) + 1


def read_rows(path: Path | str, clips: int) -> np.ndarray:
    """A split file's rows of clips.csv, int64; InputError unless they are ascending, distinct and below `clips`."""
    rows = read_npy(path)
    if rows.ndim != 1 or rows.dtype != np.int64 or not rows.size or rows[0] < 0 or rows[-1] >= clips or (np.diff(rows) <= 0).any():
        raise InputError(f"{path} does not hold ascending, distinct row numbers of a store of {clips} clips: make the split again")
    return rows


def present(inputs: Mapping[str, Path | str]) -> dict[str, Path]:
    """Role → input file, as given; InputError naming the first that is missing."""
    for path in inputs.values():
        if not Path(path).is_file():
            raise InputError(f"{path} is missing: run the stage that makes it")
    return {role: Path(path) for role, path in inputs.items()}


def rank(scores: np.ndarray) -> np.ndarray:
    """Scores (N, classes) → the best classes (N, ≤ 5), best first; equal scores go to the lowest label."""
    return np.argsort(-scores, axis=1, kind="stable")[:, :TOP]


def top1(ranking: np.ndarray, labels: np.ndarray) -> float:
    """Percent of clips whose first class is right. ranking (N, ≤ 5), labels (N,)."""
    return _percent(ranking[:, 0] == labels)


def top5(ranking: np.ndarray, labels: np.ndarray) -> float:
    """Percent of clips whose class is among the first five; −1 in a ranking stands for no class."""
    return _percent((ranking[:, :TOP] == labels[:, None]).any(axis=1))


def per_class(predicted: np.ndarray, labels: np.ndarray, class_names: Mapping[int, str]) -> dict[str, float]:
    """Class name → percent of its clips that are right, for the classes that have clips."""
    return {class_names[int(label)]: _percent(predicted[labels == label] == label) for label in np.unique(labels)}


def interval95(right: np.ndarray, seed: int = 0) -> list[float]:
    """95 % percentile bootstrap interval of an accuracy, in percent.

    The number right in a resample of N clips with replacement is Binomial(N, share right): it is drawn as such.

    Args:
        right: (N,) bool, a clip each.
    """
    counts = np.random.default_rng(seed).binomial(right.size, right.mean(), DRAWS)
    return [round(float(bound), 4) for bound in np.percentile(100 * counts / right.size, [2.5, 97.5])]


def score(ranking: np.ndarray, task: Task) -> dict[str, float]:
    """Top-1 and top-5 accuracy in percent of a ranking (test clips, ≤ 5)."""
    return {"top1": top1(ranking, task.test_labels), "top5": top5(ranking, task.test_labels)}


def write_result(
    out: Path | str,
    protocol: str,
    task: Task,
    rows: np.ndarray,
    ranking: np.ndarray,
    results: Sequence[Mapping[str, Any]],
    arrays: Mapping[str, np.ndarray] | None = None,
) -> None:
    """Write metrics.json and predictions.npz, the same for every protocol and the same bytes for the same result.

    Args:
        rows: (N,) rows of clips.csv that were scored, in the order of `ranking`: every test clip exactly once.
        ranking: (N, ≤ 5) headline result, best class first.
        results: every variant's keys, top1 and top5.
        arrays: further arrays (N, …) for predictions.npz.
    """
    assert np.array_equal(rows, task.test_rows), "every test clip is scored exactly once, in the split's order"
    assert len(ranking) == len(rows)
    labels, predicted = task.test_labels, ranking[:, 0]
    metrics = {
        "protocol": protocol,
        "data": task.data,
        "train_clips": len(task.train_rows),
        "test_clips": len(rows),
        "classes": len(task.class_names),
        **score(ranking, task),
        "interval95": interval95(predicted == labels),
        "per_class": per_class(predicted, labels, task.class_names),
        "results": [dict(result) for result in results],
    }
    own = {"name": task.names[rows], "label": labels, "predicted": predicted, "top5": ranking}
    write_npz(Path(out) / "predictions.npz", {**own, **(arrays or {})})
    write_json(Path(out) / "metrics.json", metrics)


def write_npz(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays as a compressed npz. NumPy dates every entry 1980-01-01, so equal arrays give equal bytes."""
    with atomic(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)  # type: ignore[arg-type]


def _percent(right: np.ndarray) -> float:
    return round(100 * float(right.mean()), 4)
