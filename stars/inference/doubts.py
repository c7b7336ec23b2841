"""Detects suspicious input clips: a body that is upside down, lying, mirrored, of an implausible size, or motionless.

Directions use joints of known names; layouts without them are checked only for size and motion.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from stars.data import completion
from stars.data.readers import Layout
from stars.data.skeleton import METRES
from stars.errors import InputError

SHORTEST, TALLEST = 0.5, 2.6  # metres from ankles to head along the bones
TYPICAL = 1.5
# metres; largest distance of a joint from its mean position in a motionless clip; sensor noise exceeds it
STILL = 0.002
# cosines between the body's axis and up: below the first, it lies; below the second, it is upside down
LEANS, TURNED = 0.5, -0.5
MIRRORED = (
    -0.5
    # cosine between actual and expected direction of the left side, in three quarters of the frames, since feet are often
    # noisy
)
FLAT = 1e-4  # of the body's extent: smaller depth counts as none
CHAIN = ("head", "shoulder centre", "hip centre", "knee", "ankle")


def doubts(x_tmvc: np.ndarray, layout: Layout) -> list[str]:
    """Describe what is suspicious about the first body of a clip (T, M, V, 3), in metres; usually empty.

    Raises:
        InputError: the clip has no depth, like pixels of a picture.
    """
    x_tvc = x_tmvc[x_tmvc[:, 0].any(axis=(1, 2)), 0].astype(np.float64)
    if not len(x_tvc):
        return []
    found = [] if len(x_tmvc) > 1 else ["one frame long: an action needs several"]
    if len(x_tvc) > 1 and _moves(x_tvc) < STILL * max(1.0, _extent(x_tvc) / TALLEST):
        found.append("the body does not move")
    if not _extent(x_tvc):
        return [*found, "all joints are at one place"]
    _check_depth(x_tvc)
    joints = _Joints(x_tvc, layout)
    found += [text for text in (_size(joints, x_tvc), _in_picture(x_tvc), *_directions(joints, layout)) if text]
    return found


class _Joints:
    """Joints by name, each (T, 3); None if the layout neither has nor can derive it."""

    def __init__(self, x_tvc: np.ndarray, layout: Layout) -> None:
        self.x_tvc, self.names = x_tvc, layout.joints

    def __call__(self, *names: str) -> np.ndarray | None:
        """Mean of the named joints."""
        if completion.lacking(self.names, names):
            return None
        return np.asarray(completion.complete(self.x_tvc, self.names, names).mean(axis=1))

    def own(self, name: str) -> np.ndarray | None:
        """A joint of the layout, without derived ones."""
        return self.x_tvc[:, self.names.index(name)] if name in self.names else None


def _moves(x_tvc: np.ndarray) -> float:
    """Largest distance of any joint from its mean position, metres."""
    return float(np.linalg.norm(x_tvc - np.median(x_tvc, axis=0), axis=-1).max())


def _extent(x_tvc: np.ndarray) -> float:
    return float(np.median(np.linalg.norm(np.ptp(x_tvc, axis=1), axis=-1)))


def _check_depth(x_tvc: np.ndarray) -> None:
    extent = np.ptp(x_tvc, axis=1).max(axis=0)
    if (extent < FLAT * extent.max()).sum() == 1:
        raise InputError(
            "all joints are in one plane, like pixels without depth: use 3D joints, such as MediaPipe's world landmarks"
        )


def _in_picture(x_tvc: np.ndarray) -> str:
    """Warn about landmarks in image coordinates, relative to width and height."""
    across = np.abs(x_tvc[..., :2])
    inside = ((across > 0) & (across < 1)).mean() > 0.98 and (
        np.sign(x_tvc[..., :2]) == np.sign(x_tvc[0, 0, :2])
    ).mean() > 0.98
    return "coordinates from 0 to 1, as in a picture: use world landmarks, in metres" if inside else ""


def _size(joint: _Joints, x_tvc: np.ndarray) -> str:
    places = [joint(*([name] if name in CHAIN[:3] else [f"left {name}", f"right {name}"])) for name in CHAIN]
    known = [place for place in places if place is not None]
    if len(known) < len(CHAIN):
        size, least = _extent(x_tvc), SHORTEST / 2
    else:
        bones = (np.linalg.norm(one - other, axis=-1) for one, other in pairwise(known))
        size, least = float(sum(np.median(bone) for bone in bones)), SHORTEST
    if least <= size <= TALLEST:
        return ""
    times = size / TYPICAL
    unit = next(
        (f", as if in {unit}" for unit, metres in METRES.items() if 0.3 < times * metres < 1.7 and metres < 1), ""
    )
    tall = f"{size:,.0f}" if size >= 10 else f"{size:.2g}"
    return f"the body is {tall} m tall, {_ratio(times)}{unit}"


def _ratio(times: float) -> str:
    """A ratio with one digit."""
    factor = float(f"{max(times, 1 / times):.1g}")
    return f"about {factor:,.0f} times too {'large' if times > 1 else 'small'}"


def _directions(joint: _Joints, layout: Layout) -> Iterator[str]:
    head, feet, hips = joint("head"), joint("left ankle", "right ankle"), joint("hip centre")
    if head is None or hips is None:
        return
    body, up = head - (hips if feet is None else feet), np.eye(3)["xyz".index(layout.up)]
    upright = float(np.median(_unit(body) @ up))
    if upright < TURNED:
        yield f"the body is upside down along {layout.up}"
    elif upright < LEANS:
        along = "xyz"[int(np.abs(np.median(_unit(body), axis=0)).argmax())]
        yield f"the body lies along {along}, where {layout.up} is up"
    if (handed := _handed(joint, head - hips)) is not None and handed < MIRRORED:
        yield "left and right are mirrored: change one sign of axes in a file for --skeleton, e.g. axes: [-x, y, z]"


def _handed(joint: _Joints, up: np.ndarray) -> float | None:
    """Upper quartile over frames of the cosine between the left side's direction and up × forward, its direction in
    right-handed axes; None without a forward direction."""
    ahead = _ahead(joint)
    sides = joint("left shoulder", "left hip"), joint("right shoulder", "right hip")
    if ahead is None or sides[0] is None or sides[1] is None:
        return None
    return float(np.percentile(np.sum(_unit(np.cross(up, ahead)) * _unit(sides[0] - sides[1]), axis=-1), 75))


def _ahead(joint: _Joints) -> np.ndarray | None:
    """Facing direction (T, 3): from heels or ankles to toes, or from ears to nose; None for a layout without these."""
    toes = [joint.own(f"{side} {end}") for end in ("foot index", "foot") for side in ("left", "right")]
    found = [toe for toe in toes if toe is not None]
    ankles = joint("left ankle", "right ankle")
    if len(found) >= 2 and ankles is not None:
        return np.asarray(np.mean(found[:2], axis=0) - ankles)
    nose, ears = joint.own("nose"), joint("left ear", "right ear")
    return None if nose is None or ears is None else nose - ears


def _unit(rows: np.ndarray) -> np.ndarray:
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-12))
