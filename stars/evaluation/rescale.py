"""The encoder's features rescaled before they are compared: nothing is trained, and the training clips alone decide how.

KNN compares by cosine, which the directions of largest variance rule: in features of a masked model they are few. Dividing each feature
(standardised) or each principal direction (whitened) by its standard deviation gives every one the same say.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np

from stars.config.evaluation import Compared
from stars.evaluation.features import PARTS, Output, feature_file, read_features
from stars.evaluation.metrics import Task

# Of the largest standard deviation: directions well below it hold rounding errors. They fade out and are not cut off, since a cut would let the last
# bits of a processor's arithmetic decide whether a direction counts as much as all others or not at all.
LEAST = 1e-5


class Rescaling(NamedTuple):
    """x → (x − mean) · matrix. mean (C,), matrix (C, D)."""

    mean: np.ndarray
    matrix: np.ndarray

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """(N, C) → (N, D) float64."""
        return (features - self.mean) @ self.matrix


def standardised(train: np.ndarray) -> Rescaling:
    """Every feature with mean 0 and variance 1 over the training clips (N, C); one that hardly varies there with next to none."""
    values = train.astype(np.float64)
    return Rescaling(values.mean(axis=0), np.diag(inverse(values.std(axis=0))))


def whitened(train: np.ndarray) -> Rescaling:
    """PCA whitening: principal directions of the training clips (N, C) with variance 1 each, uncorrelated; those in which they hardly vary
    with next to none.

    With fewer clips than features all training clips become equally far from one another: it needs several clips a feature.
    """
    values = train.astype(np.float64)
    mean = values.mean(axis=0)
    _, lengths, directions = np.linalg.svd(values - mean, full_matrices=False)
    return Rescaling(mean, (directions * inverse(lengths)[:, None]).T * np.sqrt(len(train) - 1))


def inverse(deviations: np.ndarray) -> np.ndarray:
    """1 / s of standard deviations s (D,), but s / (s² + t²) near t = LEAST times the largest and below: 0 for 0."""
    if not deviations.size or deviations.max() == 0:
        return np.zeros_like(deviations)
    return deviations / (deviations**2 + (LEAST * deviations.max()) ** 2)


RESCALED = {"standardised": standardised, "whitened": whitened}


def source(output: Compared) -> Output:
    """The output whose feature files are read."""
    return "encoder" if output in RESCALED else cast(Output, output)


def feature_files(folder: Path, target: str, outputs: Sequence[Compared]) -> dict[str, Path]:
    """Role → feature file of everything that these outputs are computed from."""
    return {f"{part}_{source(output)}": feature_file(folder, target, part, source(output)) for part in PARTS for output in outputs}


def read_compared(folder: Path, task: Task, output: Compared) -> tuple[np.ndarray, np.ndarray]:
    """Features of the training and test clips, (N, D) each, by one output; raises what `read_features` raises."""
    train, test = (read_features(folder, task, part, source(output)) for part in PARTS)
    if output not in RESCALED:
        return train, test
    rescaling = RESCALED[output](train)
    return rescaling(train), rescaling(test)
