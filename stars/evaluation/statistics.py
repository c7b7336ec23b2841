"""Uncertainty of accuracies: mean and standard deviation over runs, bootstrap interval, p-value of a difference.

Runs are trainings or draws scored on the same test clips. The bootstrap resamples clips, not runs.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from stars.errors import InputError
from stars.provenance.files import read_npz

DRAWS = 10_000  # bootstrap resamples


def mean_std(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean and sample standard deviation; None for the latter with fewer than two values."""
    return math.fsum(values) / len(values), statistics.stdev(values) if len(values) > 1 else None


def interval95(right: np.ndarray, seed: int = 0) -> list[float]:
    """95 % percentile bootstrap interval of an accuracy, in percent.

    Args:
        right: (N,) or (N, runs) bool per clip; with several runs, the accuracy is their mean.
    """
    low, high = np.percentile(100 * resampled_means(share_right(right), seed), [2.5, 97.5])
    return [round(float(low), 4), round(float(high), 4)]


def paired_p(first: np.ndarray, second: np.ndarray, seed: int = 0) -> float:
    """Two-sided p-value of the difference between two accuracies on the same clips, by the paired bootstrap.

    Twice the share of resamples in which the difference is zero or has the other sign, at most 1; the observed
    difference counts as one more resample, so p is never 0.

    Args:
        first, second: (N,) or (N, runs) bool, whether each clip is correct; the numbers of runs may differ.
    """
    # shares of runs are not exact in binary
    means = resampled_means(share_right(first) - share_right(second), seed).round(12)
    other_side = min((means <= 0).sum(), (means >= 0).sum())
    return min(1.0, 2 * (int(other_side) + 1) / (DRAWS + 1))


def paired_p_of(first: Path | str, second: Path | str, arrays: Sequence[str] = ("predicted",)) -> float:
    """`paired_p` of two predictions.npz files of one test split, the runs `arrays` of each.

    Raises:
        InputError: a file is missing or damaged, lacks an array, or the two cover different clips.
    """
    found = [read_npz(Path(path), ("name", "label", *arrays)) for path in (first, second)]
    if not all(np.array_equal(found[0][key], found[1][key]) for key in ("name", "label")):
        raise InputError(f"{first} and {second} have different test clips: compare two methods on one split")
    right = [np.stack([one[array] == one["label"] for array in arrays], axis=1) for one in found]
    return paired_p(right[0], right[1])


def share_right(right: np.ndarray) -> np.ndarray:
    """(N,) or (N, runs) bool → (N,) share of the runs in which each clip is correct."""
    return right.reshape(len(right), -1).mean(axis=1)


def resampled_means(values: np.ndarray, seed: int) -> np.ndarray:
    """(DRAWS,) means of bootstrap resamples of values (N,) with replacement.

    The counts of distinct values in a resample are multinomial and sampled as such, at a cost independent of N.
    """
    distinct, counts = np.unique(values, return_counts=True)
    drawn = np.random.default_rng(seed).multinomial(len(values), counts / len(values), size=DRAWS)
    return drawn @ distinct / len(values)
