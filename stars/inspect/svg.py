"""Poses as small SVG pictures. The page defines colours by class: left, right, centre; body2; mark."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from markupsafe import escape

from stars.inspect import labels
from stars.inspect.skeleton import CENTRE, HEAD, LEFT, RIGHT, Skeleton

SIZE = 100.0  # units of the longer side; coordinates have one decimal
MARGIN = 6.0
NAMES, TEXT = 42.0, 4.4  # units next to a labelled pose, and of its letters


def poses(
    x_tmvc: np.ndarray, skeleton: Skeleton, view: np.ndarray, marked: Sequence[tuple[int, int, int]] = ()
) -> list[str]:
    """One <svg> per frame of (T, M, V, 3), with a common scale and origin; absent bodies are not drawn.

    Args:
        view: (3, 2) from `skeleton.view`; marked: (frame, body, joint) of joints to circle.
    """
    seen = np.asarray(x_tmvc.any(axis=(2, 3)))
    points = x_tmvc @ view * (1, -1)  # an SVG's y points down
    low, high = points[seen].min((0, 1)), points[seen].max((0, 1))
    scale = (SIZE - 2 * MARGIN) / max((high - low).max(), 1e-6)
    points = (points - low) * scale + MARGIN
    width, height = (high - low) * scale + 2 * MARGIN
    head = f'<svg viewBox="0 0 {width:.0f} {height:.0f}" role="img">'
    radius = HEAD * scale
    return [
        head + _pose(points[frame], seen[frame], skeleton, radius, _rings(points, marked, frame)) + "</svg>"
        for frame in range(len(points))
    ]


def _pose(points_mvc: np.ndarray, seen: np.ndarray, skeleton: Skeleton, radius: float, rings: str) -> str:
    bodies = [
        _body(points_mvc[body], skeleton) + _heads(points_mvc[body], skeleton, radius) for body in np.flatnonzero(seen)
    ]
    return (
        "".join(
            f'<g class="body{body + 1}">{lines}</g>' for body, lines in zip(np.flatnonzero(seen), bodies, strict=True)
        )
        + rings
    )


def _body(points_vc: np.ndarray, skeleton: Skeleton) -> str:
    """One path per side: centre first, then the limbs."""
    paths = []
    for side in (CENTRE, RIGHT, LEFT):
        bones = [points_vc[list(bone)] for bone in skeleton.bones if skeleton.sides[bone[1]] == side]
        lines = "".join(f"M{a[0]:.1f} {a[1]:.1f}L{b[0]:.1f} {b[1]:.1f}" for a, b in bones)
        paths.append(f'<path class="{side}" d="{lines}"/>')
    return "".join(paths)


def _heads(points_vc: np.ndarray, skeleton: Skeleton, radius: float) -> str:
    places = (points_vc[joint] for joint in skeleton.heads)
    return "".join(f'<circle class="head" cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}"/>' for x, y in places)


def _rings(points: np.ndarray, marked: Sequence[tuple[int, int, int]], frame: int) -> str:
    centres = [points[place] for place in marked if place[0] == frame]
    return "".join(f'<circle class="mark" cx="{x:.1f}" cy="{y:.1f}" r="5"/>' for x, y in centres)


def labelled(pose_vc: np.ndarray, skeleton: Skeleton, view: np.ndarray) -> str:
    """An <svg> of one body with number and name of each joint."""
    points = pose_vc @ view
    low, high = points.min(0), points.max(0)
    points = (points - (low + high) / 2) * ((SIZE - 2 * MARGIN) / max((high - low).max(), 1e-6))
    points = points * (1, -1) + (NAMES + SIZE / 2, SIZE / 2)
    beside = labels.columns(points * (1, -1))
    letters = min(TEXT, 0.9 * SIZE / len(beside[1]))
    parts = [f'<svg viewBox="0 0 {SIZE + 2 * NAMES:.0f} {SIZE:.0f}" font-size="{letters:.1f}" role="img">']
    for side, column in enumerate(beside):
        edge = (NAMES, NAMES + SIZE)[side]
        for place, joint in enumerate(column):
            y = SIZE * (place + 0.5) / len(column)
            (to_x, to_y), name = points[joint], escape(f"{joint} {skeleton.names[joint]}")
            parts.append(f'<path class="leader" d="M{edge:.1f} {y:.1f}L{to_x:.1f} {to_y:.1f}"/>')
            parts.append(
                f'<text x="{edge + 2 * side - 1:.1f}" y="{y + letters / 3:.1f}"'
                f' text-anchor="{("end", "start")[side]}">{name}</text>'
            )
    dots = "".join(
        f'<circle class="{side}" cx="{x:.1f}" cy="{y:.1f}" r="1"/>'
        for side, (x, y) in zip(skeleton.sides, points, strict=True)
    )
    return "".join(parts) + f'<g class="body1">{_body(points, skeleton)}{dots}</g></svg>'
