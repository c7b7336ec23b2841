"""Place the labels of points beside them, inside the axes and without overlaps."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import product

import numpy as np

GAPS = (3, 7, 12, 18, 26, 36, 48, 62, 78, 96, 120, 150, 200)  # points between a mark and its label, in the order tried
SIDES = np.array(
    [
        (1, 0),
        (-1, 0),
        (0, 1),
        (0, -1),
        *((x, y) for x, y in product((1, -1, 0.5, -0.5), repeat=2) if max(x, y, -x, -y) == 1),
    ]
)
CLEAR = 1.5  # points of free space around a label
# cost, in points of distance, of covering a mark or a label, and of a line that crosses a mark
COVERED, CROSSED = 1000, 40
ROUNDS = 4  # how often each label is placed


def apart(places: Iterable[float], gap: float, top: float = math.inf) -> list[float]:
    """Move ascending places as little as needed to be `gap` apart, none above `top`; each cluster is spread about its
    centre.
    """
    clusters: list[list[float]] = []
    for place in places:
        clusters.append([place])
        while len(clusters) > 1 and _low(clusters[-2], gap, top) + gap * len(clusters[-2]) > _low(
            clusters[-1], gap, top
        ):
            last = clusters.pop()
            clusters[-1] += last
    return [_low(cluster, gap, top) + gap * index for cluster in clusters for index in range(len(cluster))]


def _low(cluster: list[float], gap: float, top: float) -> float:
    """The lowest place of a spread cluster."""
    width = gap * (len(cluster) - 1)
    return min(sum(cluster) / len(cluster) - width / 2, top - width)


def beside(marks_n4: np.ndarray, sizes_n2: np.ndarray, bounds: np.ndarray) -> np.ndarray:
    """Place each mark's label as near as possible, inside the bounds and without covering marks, other labels or their
    lines.

    Labels are placed one after another, the most crowded first; then each in turn moves to the best place, given all
    others. If no place is free, a label goes where it covers least. All lengths are in points.

    Args:
        marks_n4: left, bottom, right and top of each mark.
        sizes_n2: width and height of each label.
        bounds: left, bottom, right and top.

    Returns:
        (N, 2) centres of the labels.
    """
    points = (marks_n4[:, :2] + marks_n4[:, 2:]) / 2
    nearest = np.sort(np.linalg.norm(points[:, None] - points[None], axis=2), axis=1)[:, :4].sum(axis=1)
    names, ends, placed = np.zeros_like(marks_n4), np.zeros_like(points), np.zeros(len(points), dtype=bool)
    for index in np.tile(nearest.argsort(kind="stable"), ROUNDS):
        point, half, mark = points[index], sizes_n2[index] / 2, marks_n4[index]
        places = np.concatenate([point + SIDES * ((mark[2:] - mark[:2]) / 2 + half + gap) for gap in GAPS])
        places = np.clip(places, bounds[:2] + half, bounds[2:] - half)
        boxes, edges = (
            np.concatenate([places - half - CLEAR, places + half + CLEAR], axis=1),
            np.clip(point, places - half, places + half),
        )
        placed[index] = False
        covered = _overlaps(boxes, marks_n4).sum(axis=1) + _overlaps(boxes, names[placed]).sum(axis=1)
        covered += _hits(point, edges, names[placed]).sum(axis=1) + _hits(points[placed], ends[placed], boxes).sum(
            axis=0
        )
        crossed = _hits(point, edges, np.delete(marks_n4, index, axis=0)).sum(axis=1)
        best = (COVERED * covered + CROSSED * crossed + np.repeat(GAPS, len(SIDES))).argmin()
        names[index], ends[index], placed[index] = boxes[best], edges[best], True
    return (names[:, :2] + names[:, 2:]) / 2


def _overlaps(boxes_n4: np.ndarray, others_m4: np.ndarray) -> np.ndarray:
    """(N, M) which boxes overlap."""
    return np.asarray(
        ((boxes_n4[:, None, :2] < others_m4[:, 2:]) & (boxes_n4[:, None, 2:] > others_m4[:, :2])).all(axis=2)
    )


def _hits(starts: np.ndarray, ends_n2: np.ndarray, boxes_m4: np.ndarray) -> np.ndarray:
    """(N, M) which straight lines touch which boxes: whether the line's part between left and right overlaps its part
    between bottom and top.
    """
    starts = np.broadcast_to(starts, ends_n2.shape)[:, None]
    way = ends_n2[:, None] - starts
    way = np.where(way == 0, 1e-9, way)
    sides = np.stack([(boxes_m4[:, :2] - starts) / way, (boxes_m4[:, 2:] - starts) / way])
    enters, leaves = sides.min(axis=0).max(axis=2), sides.max(axis=0).min(axis=2)
    return np.asarray((enters <= leaves) & (leaves >= 0) & (enters <= 1))
