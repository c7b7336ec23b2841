"""Cross-validation of a few labelled clips: folds, and the accuracy's confidence interval."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence

import numpy as np

from stars.errors import InputError
from stars.evaluation.statistics import DRAWS, interval95

MOST_SUBJECTS, SUBJECT_FOLDS, FOLDS = 10, 10, 5


def folds(labels: np.ndarray, groups: Sequence[str] | None) -> np.ndarray:
    """Fold of each clip, from 0, (N,) int64: one fold per subject, but at most ten folds; without subjects, five folds
    stratified by action.

    Args:
        labels: (N,); groups: subject of each clip, at least two different; None: unknown.

    Raises:
        InputError: no action has two clips, one to train on and one to test.
    """
    if max(Counter(labels.tolist()).values()) < 2 or len(np.unique(labels)) < 2:
        raise InputError("evaluation needs at least two actions, one of them with two clips: label more clips")
    if groups is not None:
        names, number = np.unique(np.asarray(groups), return_inverse=True)
        return number if len(names) <= MOST_SUBJECTS else _split(labels, number, SUBJECT_FOLDS)
    return _split(labels, None, min(FOLDS, int(np.bincount(labels).max())))


def _split(labels: np.ndarray, groups: np.ndarray | None, count: int) -> np.ndarray:
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold  # slow to import, needed only here

    found = np.zeros(len(labels), np.int64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # an action with fewer clips than folds; the report mentions it
        kind = StratifiedKFold if groups is None else StratifiedGroupKFold
        splitter = kind(count, shuffle=True, random_state=0)
        for fold, (_, tested) in enumerate(splitter.split(np.zeros(len(labels)), labels, groups)):
            found[tested] = fold
    return found


def interval(right: np.ndarray, groups: Sequence[str] | None) -> list[float]:
    """95 % bootstrap interval of an accuracy in percent; resamples subjects if known, since a subject's clips are
    similar. right (N,) bool.
    """
    if groups is None:
        return interval95(right)
    _, number = np.unique(np.asarray(groups), return_inverse=True)
    clips = np.bincount(number)
    correct = np.bincount(number, weights=right)
    drawn = np.random.default_rng(0).integers(len(clips), size=(DRAWS, len(clips)))
    low, high = np.percentile(100 * correct[drawn].sum(axis=1) / clips[drawn].sum(axis=1), [2.5, 97.5])
    return [round(float(low), 4), round(float(high), 4)]
