"""Fast classifiers for a few labelled clips: nearest clip, and linear probe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from stars.evaluation.rescale import inverse

Vectors: TypeAlias = Literal["joints", "features"]
NEVER = -1e6  # score of an action without a training clip


@dataclass(frozen=True)
class Method:
    """A classifier.

    Attributes:
        name: in files; title: for display; vectors: its input: raw joints, or an encoder's features.
    """

    name: str
    title: str
    vectors: Vectors

    def fit(self, vectors: np.ndarray, labels: np.ndarray, classes: int) -> Fitted:
        """Fit to vectors (R, D) and labels (R,), 0 to classes − 1; some classes may have no clip."""
        made = _linear(vectors, labels, classes) if self.name == "linear" else _nearest(vectors, labels)
        return Fitted(self, made, classes)


@dataclass(frozen=True, eq=False)
class Fitted:
    """A fitted classifier, defined by its arrays."""

    method: Method
    arrays: Mapping[str, np.ndarray]
    classes: int

    def scores(self, vectors: np.ndarray) -> np.ndarray:
        """(N, D) → (N, classes) float64: cosine similarity to the nearest clip of each action, or the linear layer's
        output.
        """
        if self.method.name == "linear":
            return vectors.astype(np.float64) @ self.arrays["weight"].T + self.arrays["bias"]
        similarity = unit(vectors) @ self.arrays["vectors"].T
        found = np.full((len(vectors), self.classes), NEVER)
        for label in np.unique(self.arrays["labels"]):
            found[:, label] = similarity[:, self.arrays["labels"] == label].max(axis=1)
        return found


METHODS = (
    Method("joints", "raw joints, nearest clip", "joints"),
    Method("nearest", "encoder, nearest clip", "features"),
    Method("linear", "encoder, linear probe", "features"),
)


def unit(vectors: np.ndarray) -> np.ndarray:
    """Normalise rows (N, D) to length 1, float64; zeros stay zeros."""
    wide = vectors.astype(np.float64)
    return np.asarray(wide / np.maximum(np.linalg.norm(wide, axis=1, keepdims=True), 1e-12))


def _nearest(vectors: np.ndarray, labels: np.ndarray) -> dict[str, np.ndarray]:
    return {"vectors": unit(vectors), "labels": labels.astype(np.int64)}


def _linear(vectors: np.ndarray, labels: np.ndarray, classes: int) -> dict[str, np.ndarray]:
    """Linear discriminant analysis with a shrunk covariance (Ledoit and Wolf 2004), as one linear layer in closed
    form.
    """
    weight, bias = np.zeros((classes, vectors.shape[1])), np.full(classes, NEVER)
    known = np.unique(labels)
    if len(known) == 1:
        bias[known] = 0.0
        return {"weight": weight, "bias": bias}
    mean, scale = vectors.mean(axis=0, dtype=np.float64), inverse(vectors.std(axis=0, dtype=np.float64))
    scaled = (vectors - mean) * scale
    centres = np.stack([scaled[labels == label].mean(axis=0) for label in known])
    apart = scaled - centres[np.searchsorted(known, labels)]
    learnt = np.linalg.solve(_shrunk(apart), centres.T).T
    weight[known] = learnt * scale
    bias[known] = -0.5 * (learnt * centres).sum(axis=1) - weight[known] @ mean
    return {"weight": weight, "bias": bias}


def _shrunk(apart: np.ndarray) -> np.ndarray:
    """Covariance (D, D) of rows (R, D) of mean 0, shrunk towards a multiple of the identity."""
    from sklearn.covariance import ledoit_wolf  # slow to import

    return np.asarray(ledoit_wolf(apart, assume_centered=True)[0]) + 1e-6 * np.eye(apart.shape[1])
