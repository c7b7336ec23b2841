"""Places the names of joints in two columns next to a picture, without overlaps."""

from __future__ import annotations

import numpy as np


def columns(points_n2: np.ndarray, left: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Indices of points labelled at the left and at the right, from top to bottom.

    Args:
        points_n2: coordinates right and up; left: (n,) bool, points to label at the left; None: the left half.
    """
    if left is None:
        left = np.zeros(len(points_n2), bool)
        left[np.argsort(points_n2[:, 0], kind="stable")[: len(points_n2) // 2]] = True
    first, second = (
        side[np.argsort(-points_n2[side, 1], kind="stable")] for side in (np.flatnonzero(left), np.flatnonzero(~left))
    )
    return first, second
