"""Converts poses between layouts by joint name; derives some missing joints by geometry, such as the hips' middle or a
hand's tip.

Each derived joint is a weighted sum of joints. The weights add up to 1, so it moves with the body. A joint without a
rule, such as an eye, raises an error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from stars.data import common_joints
from stars.errors import InputError

Sum = Mapping[str, float]

SAME = (
    ("hip centre", "spine base", "pelvis"),
    ("spine", "spine middle", "spine 2"),
    ("shoulder centre", "spine shoulder"),
)


def _side(side: str) -> dict[str, list[Sum]]:
    elbow, wrist, hand = (f"{side} {joint}" for joint in ("elbow", "wrist", "hand"))
    return {  # hands continue the forearm: a hand's middle lies .3 of its length beyond the wrist, its tip .65
        hand: [{f"{side} index": 0.5, f"{side} pinky": 0.5}, {wrist: 1.3, elbow: -0.3}],
        f"{side} hand tip": [{f"{side} index": 1}, {hand: 2, wrist: -1}, {wrist: 1.65, elbow: -0.65}],
        f"{side} thumb": [{hand: 1}],
        f"{side} foot": [{f"{side} foot index": 1}, {f"{side} ankle": 1}],
        f"{side} collar": [{"shoulder centre": 0.75, f"{side} shoulder": 0.25}],
    }


# joint → alternative sums: the first whose joints a layout has is used; these joints may be derived, too
RULES: dict[str, list[Sum]] = {
    **{
        name: [{part: 1 / len(parts) for part in parts} for parts in ways]
        for name, ways in common_joints.MADE_OF.items()
    },
    **{other: [{names[0]: 1}] for names in SAME for other in names[1:]},
    "neck": [{"shoulder centre": 0.5, "head": 0.5}],
    "spine 1": [{"hip centre": 0.5, "spine": 0.5}],
    "spine 3": [{"spine": 0.5, "shoulder centre": 0.5}],
    **_side("left"),
    **_side("right"),
}


def complete(x_vc: np.ndarray, joints: Sequence[str], wanted: Sequence[str]) -> np.ndarray:
    """Poses (…, V, 3) of a layout → `wanted` joints (…, V', 3); absent bodies stay zeros.

    Raises:
        InputError: a wanted joint that the layout neither has nor can derive.
    """
    weights = np.zeros((len(wanted), len(joints)), x_vc.dtype)
    for row, name in enumerate(wanted):
        for part, weight in _needed(name, joints).items():
            weights[row, joints.index(part)] = weight
    return np.asarray(weights @ x_vc)


def made(joints: Sequence[str], wanted: Sequence[str]) -> list[str]:
    """The wanted joints that must be derived from others; raises what `complete` raises."""
    return [name for name in wanted if len(parts := _needed(name, joints)) > 1 or not _alike(name, next(iter(parts)))]


def lacking(joints: Sequence[str], wanted: Sequence[str]) -> list[str]:
    """The wanted joints that a layout neither has nor can derive."""
    return [name for name in wanted if _sum(name, joints, frozenset()) is None]


def _alike(name: str, other: str) -> bool:
    return name == other or any(
        {name, other} <= set(names) for names in (*SAME, ("shoulder centre", "spine shoulder", "neck"))
    )


def _needed(name: str, joints: Sequence[str]) -> Sum:
    found = _sum(name, joints, frozenset())
    if found is None:
        raise InputError(
            f"the encoder needs a joint {name!r}, which cannot be derived from the clip's {len(joints)} joints"
        )
    return found


def _sum(name: str, joints: Sequence[str], seen: frozenset[str]) -> Sum | None:
    """A joint as a weighted sum of a layout's joints, or None. `seen`: joints being derived, to stop recursion."""
    if name in joints:
        return {name: 1.0}
    for way in RULES.get(name, ()):
        parts = {} if seen & way.keys() else {part: _sum(part, joints, seen | {name}) for part in way}
        if parts and all(parts.values()):
            total: dict[str, float] = {}
            for part, found in parts.items():
                for joint, weight in (found or {}).items():
                    total[joint] = total.get(joint, 0.0) + weight * way[part]
            return total
    return None
