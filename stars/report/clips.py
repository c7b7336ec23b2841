"""Compact skeleton clips for the page: one byte per coordinate, fifteen frames per second, rotated to face the
viewer.
"""

from __future__ import annotations

import base64
from typing import Any

import numpy as np

from stars.data.store import ClipStore
from stars.inspect.skeleton import CENTRE, LEFT, RIGHT, Skeleton, view

RATE = 15  # frames per second kept; the page interpolates
SECONDS = 10  # kept from the start of a clip
LEVELS = 254  # per coordinate between a clip's minimum and maximum: 7 mm of 1.8 m
ABSENT = 255  # marks an absent body


def pack(store: ClipStore, rows: np.ndarray, skeleton: Skeleton, fps: float) -> dict[str, Any]:
    """Clips of these rows as plain data.

    `joints` is base64 of bytes, clip after clip, each (frames, bodies, joints, 3): right, up and towards the viewer. A
    byte b means low + b · step of its clip and axis in metres; 255: absent. `rate` is in frames per second.
    """
    stride = max(1, round(fps / RATE))
    packed = [_pack(store, int(row), skeleton, stride, int(SECONDS * fps)) for row in rows]
    return {
        "rate": fps / stride,
        "bones": [list(bone) for bone in skeleton.bones],
        "sides": [(CENTRE, LEFT, RIGHT).index(side) for side in skeleton.sides],
        "frames": [len(levels) for levels, _, _ in packed],
        "bodies": [levels.shape[1] for levels, _, _ in packed],
        "low": [low.round(4).tolist() for _, low, _ in packed],
        "step": [step.round(7).tolist() for _, _, step in packed],
        "joints": base64.b64encode(b"".join(levels.tobytes() for levels, _, _ in packed)).decode(),
    }


def _pack(
    store: ClipStore, row: int, skeleton: Skeleton, stride: int, most: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    bodies = max(1, int(store.table["bodies"][row]))
    x_tmvc = np.array(store[row][:most, :bodies], np.float64)
    seen = np.asarray(x_tmvc.any(axis=(2, 3)))
    turned = (x_tmvc @ basis(x_tmvc, skeleton))[::stride]
    return quantise(turned, seen[::stride])


def basis(x_tmvc: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """(3, 3) rotation from the sensor's axes to right, up and towards the viewer: `x @ basis`."""
    across = view(x_tmvc, skeleton)
    return np.column_stack([across, np.cross(across[:, 0], across[:, 1])])


def quantise(x_tmvc: np.ndarray, seen: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(T, M, V, 3) uint8, and low and step (3,) in metres, as in `pack`; seen: (T, M), whether a body is present."""
    points = x_tmvc[seen].reshape(-1, 3) if seen.any() else np.zeros((1, 3))
    low = points.min(axis=0)
    step = np.maximum(np.ptp(points, axis=0), 1e-6) / LEVELS
    levels = np.where(seen[:, :, None, None], ((x_tmvc - low) / step).round().clip(0, LEVELS), ABSENT)
    return levels.astype(np.uint8), low, step
