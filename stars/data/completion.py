"""The joints of one layout from another's, by their names: those that it has, and those that geometry gives, as the hips' middle or a hand's tip.

Each is a weighted sum of joints with weights that add up to 1, so it moves with the body wherever that stands. A joint that no rule gives, such as an
eye, is refused rather than guessed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from stars.data import common_joints
from stars.errors import InputError

Sum = Mapping[str, float]

SAME = (("hip centre", "spine base", "pelvis"), ("spine", "spine middle", "spine 2"), ("shoulder centre", "spine shoulder"))


def _side(side: str) -> dict[str, list[Sum]]:
    elbow, wrist, hand = (f"{side} {joint}" for joint in ("elbow", "wrist", "hand"))
    return {  # hands go on in the forearm's direction: a hand's middle .3 of it beyond the wrist, its tip .65
        hand: [{f"{side} index": 0.5, f"{side} pinky": 0.5}, {wrist: 1.3, elbow: -0.3}],
        f"{side} hand tip": [{f"{side} index": 1}, {hand: 2, wrist: -1}, {wrist: 1.65, elbow: -0.65}],
        f"{side} thumb": [{hand: 1}],
        f"{side} foot": [{f"{side} foot index": 1}, {f"{side} ankle": 1}],
        f"{side} collar": [{"shoulder centre": 0.75, f"{side} shoulder": 0.25}],
    }


# joint → sums that stand for it, the first of which a layout has the parts is taken; parts may be made by rules themselves
RULES: dict[str, list[Sum]] = {
    **{name: [{part: 1 / len(parts) for part in parts} for parts in ways] for name, ways in common_joints.MADE_OF.items()},
    **{other: [{names[0]: 1}] for names in SAME for other in names[1:]},
    "neck": [{"shoulder centre": 0.5, "head": 0.5}],
    "spine 1": [{"hip centre": 0.5, "spine": 0.5}],
    "spine 3": [{"spine": 0.5, "shoulder centre": 0.5}],
    **_side("left"),
    **_side("right"),
}


def complete(x_vc: np.ndarray, joints: Sequence[str], wanted: Sequence[str]) -> np.ndarray:
    """Poses (…, V, 3) of a layout on the `wanted` joints (…, V', 3); an absent body, all zeros, stays zeros.

    Raises:
        InputError: a wanted joint that the layout neither has nor gives.
    """
    weights = np.zeros((len(wanted), len(joints)), x_vc.dtype)
    for row, name in enumerate(wanted):
        for part, weight in _needed(name, joints).items():
            weights[row, joints.index(part)] = weight
    return np.asarray(weights @ x_vc)


def made(joints: Sequence[str], wanted: Sequence[str]) -> list[str]:
    """The wanted joints that a layout has under no name, and that are made of its others; raises what `complete` raises."""
    return [name for name in wanted if len(parts := _needed(name, joints)) > 1 or not _alike(name, next(iter(parts)))]


def lacking(joints: Sequence[str], wanted: Sequence[str]) -> list[str]:
    """The wanted joints that a layout neither has nor gives."""
    return [name for name in wanted if _sum(name, joints, frozenset()) is None]


def _alike(name: str, other: str) -> bool:
    return name == other or any({name, other} <= set(names) for names in (*SAME, ("shoulder centre", "spine shoulder", "neck")))


def _needed(name: str, joints: Sequence[str]) -> Sum:
    found = _sum(name, joints, frozenset())
    if found is None:
        raise InputError(f"the encoder wants a joint {name!r}, which the clip's {len(joints)} joints neither have nor give")
    return found


def _sum(name: str, joints: Sequence[str], seen: frozenset[str]) -> Sum | None:
    """A joint as a sum of a layout's own; None where no rule leads to them. `seen`: joints that are being made, which their parts are not made of."""
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
