"""Where the names of points stand: beside their points, on nothing else, inside the axes."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import product

import numpy as np

GAPS = (3, 7, 12, 18, 26, 36, 48, 62, 78, 96, 120, 150, 200)  # points between a mark and its name, in the order tried
SIDES = np.array([(1, 0), (-1, 0), (0, 1), (0, -1), *((x, y) for x, y in product((1, -1, 0.5, -0.5), repeat=2) if max(x, y, -x, -y) == 1)])
CLEAR = 1.5  # points around a name that stay free
COVERED, CROSSED = 1000, 10  # what it costs, in points of distance, to cover a mark or a name, and to lead a line over a mark
STEPS, ROUNDS = 8, 3  # places along the line to a name that are kept free of other names; how often each name is placed


def apart(places: Iterable[float], gap: float, top: float = math.inf) -> list[float]:
    """Ascending places moved as little as that takes to stand `gap` apart, none above `top`: each cluster is spread about its own centre."""
    clusters: list[list[float]] = []
    for place in places:
        clusters.append([place])
        while len(clusters) > 1 and _low(clusters[-2], gap, top) + gap * len(clusters[-2]) > _low(clusters[-1], gap, top):
            last = clusters.pop()
            clusters[-1] += last
    return [_low(cluster, gap, top) + gap * index for cluster in clusters for index in range(len(cluster))]


def _low(cluster: list[float], gap: float, top: float) -> float:
    """The lowest place of a cluster that is spread."""
    width = gap * (len(cluster) - 1)
    return min(sum(cluster) / len(cluster) - width / 2, top - width)


def beside(marks_n4: np.ndarray, sizes_n2: np.ndarray, bounds: np.ndarray) -> np.ndarray:
    """Where to write the name of each mark: inside the bounds, off every mark, off other names and their lines, and as near as that allows.

    Names are placed one after another, the most crowded first; then each moves in turn to the place that is best beside all others. Where
    no place is free, a name stands where it covers least.

    Args:
        marks_n4: left, bottom, right and top of each mark, in points, as all lengths here.
        sizes_n2: width and height of each name.
        bounds: left, bottom, right and top.

    Returns:
        (N, 2) centres of the names.
    """
    points = (marks_n4[:, :2] + marks_n4[:, 2:]) / 2
    nearest = np.sort(np.linalg.norm(points[:, None] - points[None], axis=2), axis=1)[:, :4].sum(axis=1)
    names, centres = [np.zeros((0, 4)) for _ in points], np.zeros_like(points)
    for index in np.tile(nearest.argsort(kind="stable"), ROUNDS):
        half, mark = sizes_n2[index] / 2, marks_n4[index]
        places = np.concatenate([points[index] + SIDES * ((mark[2:] - mark[:2]) / 2 + half + gap) for gap in GAPS])
        places = np.clip(places, bounds[:2] + half, bounds[2:] - half)
        boxes, lines = _boxes(places, half + CLEAR), _boxes(_along(points[index], places, half), np.ones(2))
        others = np.concatenate([name for other, name in enumerate(names) if other != index] + [np.zeros((0, 4))])
        line_costs = COVERED * _covered(lines, others) + CROSSED * _covered(lines, np.delete(marks_n4, index, axis=0))
        costs = COVERED * (_covered(boxes, marks_n4) + _covered(boxes, others)) + line_costs.reshape(len(places), -1).sum(axis=1)
        best = (costs + np.repeat(GAPS, len(SIDES))).argmin()
        centres[index] = places[best]
        names[index] = np.concatenate([boxes[best, None], lines.reshape(len(places), -1, 4)[best]])
    return centres


def _boxes(centres: np.ndarray, half: np.ndarray) -> np.ndarray:
    return np.concatenate([centres - half, centres + half], axis=1)


def _along(point: np.ndarray, places: np.ndarray, half: np.ndarray) -> np.ndarray:
    """Places on the straight line from a point to the edge of its name, for each place of the name."""
    ends = np.clip(point, places - half, places + half)
    steps = np.linspace(0, 1, STEPS + 2)[1:-1, None]
    return (point + steps * (ends - point)[:, None]).reshape(-1, 2)


def _covered(boxes_n4: np.ndarray, taken_m4: np.ndarray) -> np.ndarray:
    """How many of the taken boxes each box overlaps."""
    low, high = boxes_n4[:, None, :2], boxes_n4[:, None, 2:]
    return ((low < taken_m4[None, :, 2:]) & (high > taken_m4[None, :, :2])).all(axis=2).sum(axis=1)
