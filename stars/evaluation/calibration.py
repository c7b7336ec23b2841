"""Calibrated probabilities from class scores: one temperature, fitted on clips that the classifier was not trained
on.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

TEMPERATURES = np.geomspace(1e-5, 1e3, 401)
LEAST = 1e-9  # smallest probability in a logarithm
BINS = 10


def probabilities(scores: np.ndarray, temperature: float) -> np.ndarray:
    """Scores (N, classes) → probabilities (N, classes), summing to 1; a higher temperature makes them more uniform."""
    scaled = (scores - scores.max(axis=1, keepdims=True)) / temperature
    raised = np.exp(scaled)
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))


def temperature(scores: np.ndarray, labels: np.ndarray) -> float:
    """The temperature that maximises the likelihood of labels (N,): Guo et al., On calibration of modern neural
    networks, ICML 2017.
    """
    rows = np.arange(len(labels))
    losses = [-np.log(np.maximum(probabilities(scores, each)[rows, labels], LEAST)).mean() for each in TEMPERATURES]
    return float(TEMPERATURES[int(np.argmin(losses))])


class Reliability(NamedTuple):
    """For ten bins of the predicted probability: mean probability, accuracy and number of clips; NaN for empty bins.

    error: expected calibration error, 0 to 1: mean difference of the first two, weighted by the third.
    """

    said: np.ndarray
    right: np.ndarray
    clips: np.ndarray
    error: float


def reliability(probability: np.ndarray, right: np.ndarray) -> Reliability:
    """Calibration of predicted probabilities (N,); right (N,) bool."""
    place = np.minimum((probability * BINS).astype(int), BINS - 1)
    clips = np.bincount(place, minlength=BINS)
    sums = [np.bincount(place, weights=values, minlength=BINS) for values in (probability, right.astype(float))]
    with np.errstate(invalid="ignore"):
        said, correct = (values / clips for values in sums)
    gaps = np.where(clips > 0, np.abs(said - correct), 0.0)
    return Reliability(said, correct, clips, float((gaps * clips).sum() / clips.sum()))
