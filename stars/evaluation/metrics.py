"""Shared by all protocols: a split's clips as a task, accuracies, metrics.json and predictions.npz."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stars.data.store import ClipStore
from stars.errors import InputError
from stars.evaluation.statistics import interval95, mean_std
from stars.provenance.files import read_npy, write_json, write_npz

RESULT_FILES = ("metrics.json", "predictions.npz")
TOP = 5  # classes kept in a ranking


@dataclass(frozen=True)
class Task:
    """A protocol's training and test clips, as ascending rows of clips.csv."""

    data: str
    train_rows: np.ndarray
    test_rows: np.ndarray
    names: np.ndarray
    labels: np.ndarray
    class_names: Mapping[int, str]

    @classmethod
    def of(cls, store: ClipStore, train: Path | str, test: Path | str, data: str) -> Task:
        """The task defined by a clip store and two split files.

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
        """Number of classes; labels are 0 … classes − 1."""
        return int(self.labels.max()) + 1


def read_rows(path: Path | str, clips: int) -> np.ndarray:
    """A split file's rows of clips.csv, int64; InputError unless they are ascending, distinct and below `clips`."""
    rows = read_npy(path)
    if (
        rows.ndim != 1
        or rows.dtype != np.int64
        or not rows.size
        or rows[0] < 0
        or rows[-1] >= clips
        or (np.diff(rows) <= 0).any()
    ):
        raise InputError(
            f"{path} does not contain ascending, distinct row numbers of a store of {clips} clips: make the split again"
        )
    return rows


def present(inputs: Mapping[str, Path | str]) -> dict[str, Path]:
    """Return role → input file; InputError naming the first missing file."""
    for path in inputs.values():
        if not Path(path).is_file():
            raise InputError(f"{path} is missing: run the stage that makes it")
    return {role: Path(path) for role, path in inputs.items()}


def rank(scores: np.ndarray) -> np.ndarray:
    """Scores (N, classes) → the best classes (N, ≤ 5), best first; ties go to the lowest label."""
    return np.argsort(-scores, axis=1, kind="stable")[:, :TOP]


def top1(ranking: np.ndarray, labels: np.ndarray) -> float:
    """Percent of clips whose first class is right. ranking (N, ≤ 5), labels (N,)."""
    return _percent(ranking[:, 0] == labels)


def top5(ranking: np.ndarray, labels: np.ndarray) -> float:
    """Percent of clips whose class is among the first five; −1 in a ranking means no class."""
    return _percent((ranking[:, :TOP] == labels[:, None]).any(axis=1))


def per_class(right: np.ndarray, labels: np.ndarray, class_names: Mapping[int, str]) -> dict[str, float]:
    """Class name → percent of correct clips, for the classes that have clips; right (N,) or (N, runs)."""
    return {class_names[int(label)]: _percent(right[labels == label]) for label in np.unique(labels)}


def score(ranking: np.ndarray, task: Task) -> dict[str, float]:
    """Top-1 and top-5 accuracy in percent of a ranking (test clips, ≤ 5)."""
    return {"top1": top1(ranking, task.test_labels), "top5": top5(ranking, task.test_labels)}


def over_runs(scores: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """Mean top-1 and top-5 of several `score`s, sample standard deviation of top-1 (None for one score), and all
    top-1 as `values`.
    """
    values = [one["top1"] for one in scores]
    (mean, std), (mean5, _) = mean_std(values), mean_std([one["top5"] for one in scores])
    return {
        "top1": round(mean, 4),
        "top5": round(mean5, 4),
        "std": None if std is None else round(std, 4),
        "values": values,
    }


def write_result(
    out: Path | str,
    protocol: str,
    task: Task,
    rows: np.ndarray,
    rankings: Sequence[np.ndarray],
    results: Sequence[Mapping[str, Any]],
    arrays: Mapping[str, np.ndarray] | None = None,
    more: Mapping[str, Any] | None = None,
) -> None:
    """Write metrics.json and predictions.npz, in the same format for every protocol; equal results give equal bytes.

    Args:
        rows: (N,) rows of clips.csv that were scored, in the order of each ranking: every test clip exactly once.
        rankings: the headline, (N, ≤ 5) best class first; several if the protocol is repeated with other training
            clips.
        results: keys and accuracies of every variant.
        arrays: further arrays (N, …) for predictions.npz; more: further keys for metrics.json.
    """
    assert np.array_equal(rows, task.test_rows), "every test clip is scored exactly once, in the split's order"
    assert all(len(ranking) == len(rows) for ranking in rankings)
    labels, predicted = task.test_labels, rankings[0][:, 0]
    right = np.stack([ranking[:, 0] == labels for ranking in rankings], axis=1)
    headline = over_runs([score(ranking, task) for ranking in rankings])
    metrics = {
        "protocol": protocol,
        "data": task.data,
        "train_clips": len(task.train_rows),
        "test_clips": len(rows),
        "classes": len(task.class_names),
        "runs": len(rankings),
        **{key: headline[key] for key in ("top1", "top5", "std")},
        "interval95": interval95(right),
        "per_class": per_class(right, labels, task.class_names),
        "results": [dict(result) for result in results],
        **(more or {}),
    }
    own = {"name": task.names[rows], "label": labels, "predicted": predicted, "top5": rankings[0]}
    write_npz(Path(out) / "predictions.npz", {**own, **(arrays or {})})
    write_json(Path(out) / "metrics.json", metrics)


def _percent(right: np.ndarray) -> float:
    return round(100 * float(right.mean()), 4)
