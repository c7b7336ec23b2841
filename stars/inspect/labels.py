"""Where the names of joints stand beside a picture: in two columns, so that no two cover each other."""

from __future__ import annotations

import numpy as np


def columns(points_n2: np.ndarray, left: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Points to name at the left and at the right, each as indices from top to bottom.

    Args:
        points_n2: coordinates right and up; left: (n,) bool, those to name at the left; None: the left half of them.
    """
    if left is None:
        left = np.zeros(len(points_n2), bool)
        left[np.argsort(points_n2[:, 0], kind="stable")[: len(points_n2) // 2]] = True
    first, second = (side[np.argsort(-points_n2[side, 1], kind="stable")] for side in (np.flatnonzero(left), np.flatnonzero(~left)))
    return first, second
