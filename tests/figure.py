"""A figure of a few numbers, as Kinect v2 and as MediaPipe see it."""

from __future__ import annotations

import re

import numpy as np

from stars.pipeline.descriptions import skeletons

KINECT = skeletons()["kinect_v2"].joints
STANDING = {  # metres, y up, facing the sensor at z = 0, so that its left lies towards −x
    "spine base": (0, 1, 3), "spine middle": (0, 1.25, 3), "spine shoulder": (0, 1.45, 3), "neck": (0, 1.55, 3), "head": (0, 1.65, 3),
    "shoulder": (0.2, 1.42, 3), "elbow": (0.25, 1.15, 2.98), "wrist": (0.26, 0.9, 2.9), "hand": (0.26, 0.83, 2.88), "hand tip": (0.26, 0.75, 2.86),
    "thumb": (0.22, 0.85, 2.85), "hip": (0.1, 0.98, 3), "knee": (0.11, 0.55, 2.98), "ankle": (0.12, 0.1, 3), "foot": (0.12, 0.05, 2.85),
}  # fmt: skip


def standing(frames: int = 40, moved: str = "left", times: float = 1.0) -> np.ndarray:
    """(T, 25, 3) Kinect v2: a figure that swings its `moved` arm so many times, or leg, and sways."""
    pose = np.array(
        [
            np.multiply(STANDING[re.sub("left |right ", "", name)], (-1 if "left" in name else 1, 1, 1))
            for name in KINECT
        ]
    )
    x_tvc = np.repeat(pose[None], frames, axis=0)
    swing = np.sin(np.linspace(0, 6 * times, frames))[:, None]
    ends = (
        ("right knee", "right ankle", "right foot")
        if moved == "leg"
        else [f"{moved} {end}" for end in ("wrist", "hand", "hand tip", "thumb")]
    )
    for name in ends:
        x_tvc[:, KINECT.index(name)] += swing * (0.1, 0.4, -0.1)
    return x_tvc + 0.01 * np.sin(np.linspace(0, 9, frames))[:, None, None]


def mediapipe(x_tvc: np.ndarray) -> np.ndarray:
    """The figure as MediaPipe's world landmarks: 33 joints about the hips, y down, x to the picture's right."""
    names = skeletons()["mediapipe33"].joints
    head = x_tvc[:, KINECT.index("head")]
    found = np.zeros((len(x_tvc), 33, 3))
    for place, name in enumerate(names):
        like = {"heel": "ankle", "foot index": "foot", "index": "hand tip", "pinky": "hand"}.get(
            re.sub("left |right ", "", name)
        )
        known = f"{name.split()[0]} {like}" if like else name
        if known in KINECT:
            found[:, place] = x_tvc[:, KINECT.index(known)]
        else:  # of the face
            side = -0.07 if "left" in name else 0.07 if "right" in name else 0.0
            found[:, place] = head + np.array([side, 0, 0 if "ear" in name else -0.1])
    hips = (found[:, names.index("left hip")] + found[:, names.index("right hip")]) / 2
    return (found - hips[:, None]) * (-1, -1, 1)
