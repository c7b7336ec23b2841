"""The Kinect v2 skeleton and its forward kinematics.

Body frame, right-handed: x to the body's left, y up, z forward; metres and radians. In the rest pose, the body stands
with its arms down, and all angles are zero.
"""

from __future__ import annotations

import numpy as np

# Joints in the sensor's order, and the different names of some of them in Kinect v1.
NAMES = (
    "spine base", "spine middle", "neck", "head", "left shoulder", "left elbow", "left wrist", "left hand",
    "right shoulder", "right elbow", "right wrist", "right hand", "left hip", "left knee", "left ankle", "left foot",
    "right hip", "right knee", "right ankle", "right foot", "spine shoulder", "left hand tip", "left thumb", "right hand tip", "right thumb",
)  # fmt: skip
OLDER_NAMES = {"hip centre": "spine base", "spine": "spine middle", "shoulder centre": "spine shoulder"}
JOINTS = len(NAMES)
PELVIS, SPINE, NECK, HEAD, CHEST = 0, 1, 2, 3, 20
L_SHOULDER, L_ELBOW, L_WRIST, R_SHOULDER, R_ELBOW, R_WRIST = 4, 5, 6, 8, 9, 10
L_HIP, L_KNEE, L_ANKLE, R_HIP, R_KNEE, R_ANKLE = 12, 13, 14, 16, 17, 18
X, Y, Z = 0, 1, 2

# parent of each joint, and the bone from it, for a body 1.75 m tall
BONES: dict[int, tuple[int, tuple[float, float, float]]] = {
    1: (0, (0, 0.31, 0)),
    20: (1, (0, 0.23, 0)),
    2: (20, (0, 0.08, 0)),
    3: (2, (0, 0.15, 0.02)),
    4: (20, (0.17, -0.04, 0)),
    5: (4, (0.02, -0.27, 0)),
    6: (5, (0, -0.25, 0)),
    7: (6, (0, -0.08, 0)),
    8: (20, (-0.17, -0.04, 0)),
    9: (8, (-0.02, -0.27, 0)),
    10: (9, (0, -0.25, 0)),
    11: (10, (0, -0.08, 0)),
    12: (0, (0.08, -0.05, 0)),
    13: (12, (0.02, -0.40, 0)),
    14: (13, (0, -0.40, 0)),
    15: (14, (0, -0.06, 0.12)),
    16: (0, (-0.08, -0.05, 0)),
    17: (16, (-0.02, -0.40, 0)),
    18: (17, (0, -0.40, 0)),
    19: (18, (0, -0.06, 0.12)),
    21: (7, (0, -0.08, 0)),
    22: (7, (-0.02, -0.03, 0.04)),
    23: (11, (0, -0.08, 0)),
    24: (11, (0.02, -0.03, 0.04)),
}
LEFT_RIGHT = ((4, 8), (5, 9), (6, 10), (7, 11), (12, 16), (13, 17), (14, 18), (15, 19), (21, 23), (22, 24))
LIMBS = ((5, 6, 7, 21, 22), (9, 10, 11, 23, 24), (13, 14, 15), (17, 18, 19))
FEET = (14, 15, 18, 19)


def rest_offsets() -> np.ndarray:
    """(25, 3) bone from parent to joint in the rest pose; zero for the pelvis."""
    offsets = np.zeros((JOINTS, 3))
    for joint, (_, bone) in BONES.items():
        offsets[joint] = bone
    return offsets


def rotations(angles: np.ndarray) -> np.ndarray:
    """Angles (..., 3) about x, y, z → matrices (..., 3, 3) Rz·Rx·Ry: a limb is twisted, then swung forward, then
    sideways.
    """
    (sx, sy, sz), (cx, cy, cz) = np.moveaxis(np.sin(angles), -1, 0), np.moveaxis(np.cos(angles), -1, 0)
    rows = (
        (cz * cy - sz * sx * sy, -sz * cx, cz * sy + sz * sx * cy),
        (sz * cy + cz * sx * sy, cz * cx, sz * sy - cz * sx * cy),
        (-cx * sy, sx, cx * cy),
    )
    return np.stack([np.stack(row, -1) for row in rows], -2)


def forward(angles_tv3: np.ndarray, offsets_v3: np.ndarray) -> np.ndarray:
    """Joint angles (T, 25, 3) and bones (25, 3) → positions (T, 25, 3), with the pelvis at the origin.

    An angle rotates all bones that start at its joint, and everything beyond them.
    """
    turn = rotations(angles_tv3)
    positions = np.zeros_like(angles_tv3)
    for joint, (parent, _) in BONES.items():
        positions[:, joint] = positions[:, parent] + turn[:, parent] @ offsets_v3[joint]
        turn[:, joint] = turn[:, parent] @ turn[:, joint]
    return positions


def mirrored(values: np.ndarray, signs: tuple[int, int, int]) -> np.ndarray:
    """Swap left and right in (..., joints ≥ 25, 3); signs (1, −1, −1) for angles, (−1, 1, 1) for positions."""
    order = np.arange(values.shape[-2])
    for left, right in LEFT_RIGHT:
        order[[left, right]] = right, left
    return values[..., order, :] * np.array(signs)
