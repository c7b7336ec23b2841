"""The joints that every layout of a body has, so that an encoder of one layout reads the clips of another (`ingest.joints: common`).

A layout is known by the names of its joints. Sensors and estimators place joints of one name some centimetres apart; nothing corrects for that.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from stars.data.dataset import Dataset
from stars.errors import InputError

SHOULDERS, HIPS, EARS = ("left shoulder", "right shoulder"), ("left hip", "right hip"), ("left ear", "right ear")
# name → what it is made of: the first of these that a layout has, the mean of its joints
MADE_OF: dict[str, tuple[tuple[str, ...], ...]] = {
    "hip centre": (("hip centre",), ("spine base",), ("pelvis",), HIPS),
    "spine": (("spine",), ("spine middle",), ("spine 2",), (*HIPS, *SHOULDERS)),
    "shoulder centre": (("shoulder centre",), ("spine shoulder",), ("neck",), SHOULDERS),
    "head": (("head",), EARS),
    **{
        f"{side} {joint}": ((f"{side} {joint}",),)
        for side in ("left", "right")
        for joint in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
    },
}
JOINTS = tuple(MADE_OF)
ROOT = JOINTS.index("spine")
PARENT = {
    **{"hip centre": "spine", "shoulder centre": "spine", "head": "shoulder centre"},
    **{f"{side} {limb}": f"{side} {above}" for side in ("left", "right") for limb, above in (("elbow", "shoulder"), ("wrist", "elbow"))},
    **{f"{side} {limb}": f"{side} {above}" for side in ("left", "right") for limb, above in (("knee", "hip"), ("ankle", "knee"))},
    **{f"{side} {limb}": f"{limb} centre" for side in ("left", "right") for limb in ("shoulder", "hip")},
}
PARENTS = tuple(JOINTS.index(PARENT.get(joint, joint)) for joint in JOINTS)
MIRROR = tuple((place, JOINTS.index(joint.replace("left", "right"))) for place, joint in enumerate(JOINTS) if joint.startswith("left"))


def described(dataset: Dataset) -> Dataset:
    """A description as it holds for clips on the common joints; results on them are not of the paper's input."""
    return dataset.model_copy(update={"joints": JOINTS, "parents": PARENTS, "mirror": MIRROR, "root": ROOT, "published": False})


def sources(joints: Sequence[str]) -> tuple[tuple[int, ...], ...]:
    """Of each common joint, the places in a layout whose mean it is; InputError where the layout lacks what it could be made of."""
    return tuple(tuple(joints.index(name) for name in _made_of(common, joints)) for common in JOINTS)


def _made_of(common: str, joints: Sequence[str]) -> tuple[str, ...]:
    for names in MADE_OF[common]:
        if set(names) <= set(joints):
            return names
    ways = " or ".join(" and ".join(names) for names in MADE_OF[common])
    raise InputError(f"ingest.joints: common needs {ways} among the description's joints: name them so, or keep the file's joints")


def to_common(x_vc: np.ndarray, joints: Sequence[str]) -> np.ndarray:
    """Poses (…, V, 3) of a layout on the common joints, (…, 16, 3); an absent body, all zeros, stays zeros.

    Where there is nobody at all, V may be 0.
    """
    if not x_vc.size:
        return np.zeros((*x_vc.shape[:-2], len(JOINTS), 3), x_vc.dtype)
    means = [x_vc[..., places, :].mean(axis=-2) if len(places) > 1 else x_vc[..., places[0], :] for places in sources(joints)]
    return np.stack(means, axis=-2)


def loss(joints: Sequence[str]) -> str:
    """What a layout loses on the common joints, in words."""
    made = {common: _made_of(common, joints) for common in JOINTS}
    kept = {name for names in made.values() for name in names}
    gone = [joint for joint in joints if joint not in kept]
    means = [f"{common} is the mean of {', '.join(names)}" for common, names in made.items() if len(names) > 1]
    return "; ".join([f"{len(JOINTS)} common joints of {len(joints)}", *means, f"left out: {', '.join(gone) or 'none'}"])
