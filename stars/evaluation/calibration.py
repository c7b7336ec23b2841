"""Scores of classes as probabilities that keep their word: one temperature, fitted on clips that the classifier has not learnt from."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

TEMPERATURES = np.geomspace(1e-5, 1e3, 401)
LEAST = 1e-9  # probability that a logarithm is taken of
BINS = 10


def probabilities(scores: np.ndarray, temperature: float) -> np.ndarray:
    """Scores (N, classes) → probabilities (N, classes), which add up to 1; the higher the temperature, the more alike."""
    scaled = (scores - scores.max(axis=1, keepdims=True)) / temperature
    raised = np.exp(scaled)
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))


def temperature(scores: np.ndarray, labels: np.ndarray) -> float:
    """The temperature at which labels (N,) are likeliest: Guo et al., On calibration of modern neural networks, ICML 2017."""
    rows = np.arange(len(labels))
    losses = [-np.log(np.maximum(probabilities(scores, each)[rows, labels], LEAST)).mean() for each in TEMPERATURES]
    return float(TEMPERATURES[int(np.argmin(losses))])


class Reliability(NamedTuple):
    """Of clips in ten ranges of their answer's probability: the mean probability, the share that is right, and how many there are; NaN where there are none.

    error: the mean distance between the first two, weighted by the third (expected calibration error), 0 to 1.
    """

    said: np.ndarray
    right: np.ndarray
    clips: np.ndarray
    error: float


def reliability(probability: np.ndarray, right: np.ndarray) -> Reliability:
    """How far probabilities (N,) of answers keep their word; right (N,) bool."""
    place = np.minimum((probability * BINS).astype(int), BINS - 1)
    clips = np.bincount(place, minlength=BINS)
    sums = [np.bincount(place, weights=values, minlength=BINS) for values in (probability, right.astype(float))]
    with np.errstate(invalid="ignore"):
        said, correct = (values / clips for values in sums)
    gaps = np.where(clips > 0, np.abs(said - correct), 0.0)
    return Reliability(said, correct, clips, float((gaps * clips).sum() / clips.sum()))
