"""NTU RGB+D's `.skeleton` text files, one per recording; coordinates with 6 decimals."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from stars.data.simulate.layouts import MANY, Recording
from stars.data.simulate.layouts.digits import decimals
from stars.data.simulate.performance import Performance
from stars.data.simulate.sensor import Track
from stars.data.simulate.stage import SimulateStage

SETUPS = CAMERAS = MANY
_NEWLINE, _ZERO = b"\n0"
# pinhole cameras of the Kinect v2: focal length, centre x and y in pixels, offset of the lens in metres
DEPTH, COLOUR = (365.0, 256.0, 212.0, 0.0), (1060.0, 960.0, 540.0, 0.052)


def files(recordings: Iterator[Recording], settings: SimulateStage) -> Iterator[tuple[str, bytes]]:
    """One file per recording, with everything the sensor reported: ghosts, changed ids, frames without a body."""
    for recording in recordings:
        yield name_of(recording.performance, recording.camera), skeleton_text(recording.tracks, settings.order)


def name_of(performance: Performance, camera: int) -> str:
    """NTU's file name, SsssCcccPpppRrrrAaaa.skeleton."""
    setup, subject, replication, action = performance
    return f"S{setup:03d}C{camera:03d}P{subject:03d}R{replication:03d}A{action:03d}.skeleton"


def skeleton_text(tracks: list[Track], order: list[int]) -> bytes:
    """The text of a file: per frame a body count; per body ten numbers starting with its id, a joint count, and
    twelve numbers per joint.
    """
    bodies = [_lines(track, order) for track in tracks]
    parts = [b"%d\n" % len(tracks[0].seen)]
    for frame in range(len(tracks[0].seen)):
        seen = [index for index, track in enumerate(tracks) if track.seen[frame]]
        parts.append(b"%d\n" % len(seen))
        for index in seen:
            parts += (b"%d 0 1 1 1 1 0 0.0 0.0 2\n%d\n" % (tracks[index].ids[frame], len(order)), bodies[index][frame])
    return b"".join(parts)


def _lines(track: Track, order: list[int]) -> list[bytes]:
    """The lines of each frame's joints: x y z, depth x y, colour x y, orientation w x y z, state."""
    chosen, states = track.joints[:, order], track.states[:, order]
    length, joints = states.shape
    pixels = np.concatenate([_project(chosen, DEPTH), _project(chosen, COLOUR)], -1)
    orientation = np.broadcast_to(_heading(track.joints), (length, joints, 4))
    columns = [(chosen, 6), (pixels, 3), (orientation, 5)]
    blocks = [decimals(values.reshape(length * joints, -1), places) for values, places in columns]
    state = np.stack([_ZERO + states.reshape(-1), np.full(length * joints, _NEWLINE)], -1).astype(np.uint8)
    text = np.concatenate([*blocks, state], 1).reshape(length, -1)
    ends = np.cumsum(np.count_nonzero(text, 1)).tolist()
    packed = text[text != 0].tobytes()
    return [packed[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def _project(joints: np.ndarray, camera: tuple[float, float, float, float]) -> np.ndarray:
    """Project points (T, V, 3) in metres to pixels (T, V, 2)."""
    focal, centre_x, centre_y, offset = camera
    depth = np.maximum(joints[..., 2], 0.5)
    return np.stack(
        [centre_x + focal * (joints[..., 0] + offset) / depth, centre_y - focal * joints[..., 1] / depth], -1
    )


def _heading(joints: np.ndarray) -> np.ndarray:
    """(T, 1, 4) quaternion w x y z of the body's rotation about the vertical, from its hips; shared by all joints."""
    across = joints[:, 12] - joints[:, 16]
    half = np.arctan2(-across[:, 2], across[:, 0]) / 2
    zero = np.zeros_like(half)
    return np.stack([np.cos(half), zero, np.sin(half), zero], -1)[:, None]
