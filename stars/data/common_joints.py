"""Joints shared by all layouts, so that an encoder of one layout reads clips of another (`ingest.joints: common`).

Joints are matched by name. Sensors place joints of the same name some centimetres apart; this is not corrected.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from stars.data.dataset import Dataset
from stars.errors import InputError

SHOULDERS, HIPS, EARS = ("left shoulder", "right shoulder"), ("left hip", "right hip"), ("left ear", "right ear")
# name → alternatives: the first whose joints a layout has is used, as their mean
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
    **{
        f"{side} {limb}": f"{side} {above}"
        for side in ("left", "right")
        for limb, above in (("elbow", "shoulder"), ("wrist", "elbow"))
    },
    **{
        f"{side} {limb}": f"{side} {above}"
        for side in ("left", "right")
        for limb, above in (("knee", "hip"), ("ankle", "knee"))
    },
    **{f"{side} {limb}": f"{limb} centre" for side in ("left", "right") for limb in ("shoulder", "hip")},
}
PARENTS = tuple(JOINTS.index(PARENT.get(joint, joint)) for joint in JOINTS)
MIRROR = tuple(
    (place, JOINTS.index(joint.replace("left", "right")))
    for place, joint in enumerate(JOINTS)
    if joint.startswith("left")
)


def described(dataset: Dataset) -> Dataset:
    """The description for clips on the common joints; results on them are not comparable with the paper's."""
    return dataset.model_copy(
        update={"joints": JOINTS, "parents": PARENTS, "mirror": MIRROR, "root": ROOT, "published": False}
    )


def sources(joints: Sequence[str]) -> tuple[tuple[int, ...], ...]:
    """For each common joint, the layout's indices to average; InputError if the layout lacks them."""
    return tuple(tuple(joints.index(name) for name in _made_of(common, joints)) for common in JOINTS)


def _made_of(common: str, joints: Sequence[str]) -> tuple[str, ...]:
    for names in MADE_OF[common]:
        if set(names) <= set(joints):
            return names
    ways = " or ".join(" and ".join(names) for names in MADE_OF[common])
    raise InputError(
        f"ingest.joints: common needs {ways} among the description's joints: rename its joints, or set ingest.joints:"
        " file"
    )


def to_common(x_vc: np.ndarray, joints: Sequence[str]) -> np.ndarray:
    """Poses (…, V, 3) → common joints (…, 16, 3); absent bodies stay zeros.

    V may be 0 in a clip without bodies.
    """
    if not x_vc.size:
        return np.zeros((*x_vc.shape[:-2], len(JOINTS), 3), x_vc.dtype)
    means = [
        x_vc[..., places, :].mean(axis=-2) if len(places) > 1 else x_vc[..., places[0], :] for places in sources(joints)
    ]
    return np.stack(means, axis=-2)


def loss(joints: Sequence[str]) -> str:
    """Describe what is lost when a layout is reduced to the common joints."""
    made = {common: _made_of(common, joints) for common in JOINTS}
    kept = {name for names in made.values() for name in names}
    gone = [joint for joint in joints if joint not in kept]
    means = [f"{common} is the mean of {', '.join(names)}" for common, names in made.items() if len(names) > 1]
    return "; ".join(
        [f"{len(JOINTS)} common joints of {len(joints)}", *means, f"left out: {', '.join(gone) or 'none'}"]
    )
