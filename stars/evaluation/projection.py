"""Features as points for display: principal components, t-SNE, nearest rows. Not used for measurements."""

from __future__ import annotations

import numpy as np
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits

COSINES = 1 << 24  # held at once
DECIMALS = 5  # of cosines, so that neighbours do not depend on the last bits of a sum


def unit(features: np.ndarray) -> np.ndarray:
    """Normalise rows of (N, C) to length 1, float64, so that distances agree with the KNN protocol's cosine; zero
    rows stay.
    """
    x_nc = features.astype(np.float64)
    return x_nc / np.maximum(np.linalg.norm(x_nc, axis=1, keepdims=True), 1e-12)


def perplexity(wanted: float, clips: int) -> float:
    """Limit the perplexity: t-SNE needs several times as many points."""
    return min(wanted, (clips - 1) / 3)


def principal(x_nc: np.ndarray) -> np.ndarray:
    """The first two principal components (N, 2), with signs that make each one's largest absolute value positive."""
    with threadpool_limits(1):
        left, size, _ = np.linalg.svd(x_nc - x_nc.mean(axis=0), full_matrices=False)
    found = np.zeros((len(x_nc), 2))
    found[:, : left.shape[1]] = (left * size)[:, :2]
    return found * np.where(np.take_along_axis(found, np.abs(found).argmax(axis=0)[None], 0) < 0, -1, 1)


def tsne(x_nc: np.ndarray, perplexity: float, seed: int) -> np.ndarray:
    """t-SNE of unit rows, (N, 2).

    Uses one thread: sums over threads differ between machines in the last bits, which t-SNE amplifies.
    """
    start = "pca" if np.ptp(x_nc, axis=0).max() > 1e-9 and x_nc.shape[1] > 1 else "random"
    with threadpool_limits(1):
        return TSNE(perplexity=perplexity, init=start, learning_rate="auto", random_state=seed, n_jobs=1).fit_transform(
            x_nc
        )


def nearest(x_nc: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The rows with the largest cosine to each of the unit rows (N, C), excluding itself: row numbers (N, count) and
    their cosines.
    """
    found = [_nearest(x_nc, start, count) for start in range(0, len(x_nc), max(1, COSINES // len(x_nc)))]
    return np.concatenate([order for order, _ in found]), np.concatenate([cosine for _, cosine in found])


def _nearest(x_nc: np.ndarray, start: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The same of a block of rows."""
    rows = x_nc[start : start + max(1, COSINES // len(x_nc))]
    with threadpool_limits(1):
        cosine = (rows @ x_nc.T).round(DECIMALS)
    cosine[np.arange(len(rows)), np.arange(start, start + len(rows))] = -2
    order = np.argsort(-cosine, axis=1, kind="stable")[:, : min(count, len(x_nc) - 1)]
    return order, np.take_along_axis(cosine, order, 1)
