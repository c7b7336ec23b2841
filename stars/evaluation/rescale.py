"""Rescales the encoder's features before comparison, using only statistics of the training clips.

The cosine used by KNN is dominated by the directions of largest variance, which are few for masked models. Dividing
each feature (standardised) or each principal direction (whitened) by its standard deviation gives all the same weight.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np

from stars.config.evaluation import Compared
from stars.evaluation.features import PARTS, Output, feature_file, read_features
from stars.evaluation.metrics import Task

# Relative to the largest standard deviation: directions well below it contain rounding errors. They fade out gradually,
# since with a hard cut the last bits of the arithmetic would decide whether a direction counts fully or not at all.
LEAST = 1e-5


class Rescaling(NamedTuple):
    """x → (x − mean) · matrix. mean (C,), matrix (C, D)."""

    mean: np.ndarray
    matrix: np.ndarray

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """(N, C) → (N, D) float64."""
        return (features - self.mean) @ self.matrix


def standardised(train: np.ndarray) -> Rescaling:
    """Mean 0 and variance 1 for every feature over the training clips (N, C); close to 0 for features that hardly
    vary.
    """
    values = train.astype(np.float64)
    return Rescaling(values.mean(axis=0), np.diag(inverse(values.std(axis=0))))


def whitened(train: np.ndarray) -> Rescaling:
    """PCA whitening: uncorrelated principal directions of the training clips (N, C) with variance 1; close to 0 for
    directions that hardly vary.

    Needs several clips per feature: with fewer clips than features, all training clips become equally distant from each
    other.
    """
    values = train.astype(np.float64)
    mean = values.mean(axis=0)
    _, lengths, directions = np.linalg.svd(values - mean, full_matrices=False)
    return Rescaling(mean, (directions * inverse(lengths)[:, None]).T * np.sqrt(len(train) - 1))


def inverse(deviations: np.ndarray) -> np.ndarray:
    """1 / s for standard deviations s (D,), but s / (s² + t²) near t = LEAST times the largest and below: 0 for 0."""
    if not deviations.size or deviations.max() == 0:
        return np.zeros_like(deviations)
    return deviations / (deviations**2 + (LEAST * deviations.max()) ** 2)


RESCALED = {"standardised": standardised, "whitened": whitened}


def source(output: Compared) -> Output:
    """The output whose feature files are read."""
    return "encoder" if output in RESCALED else cast(Output, output)


def feature_files(folder: Path, target: str, outputs: Sequence[Compared]) -> dict[str, Path]:
    """Role → feature file for all files that these outputs need."""
    return {
        f"{part}_{source(output)}": feature_file(folder, target, part, source(output))
        for part in PARTS
        for output in outputs
    }


def read_compared(folder: Path, task: Task, output: Compared) -> tuple[np.ndarray, np.ndarray]:
    """Features of the training and test clips, (N, D) each, by one output; raises what `read_features` raises."""
    train, test = (read_features(folder, task, part, source(output)) for part in PARTS)
    if output not in RESCALED:
        return train, test
    rescaling = RESCALED[output](train)
    return rescaling(train), rescaling(test)
