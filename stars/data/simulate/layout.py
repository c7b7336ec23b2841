"""Tracks as NTU RGB+D's `.skeleton` text. Numbers become digits for a whole body at once: Python's formatting is ten times slower."""

from __future__ import annotations

import numpy as np

from stars.data.simulate.sensor import Track

DIGITS = 8
_FOURS = np.frombuffer("".join(f"{n:04d}" for n in range(10_000)).encode(), np.uint32)
_POINT, _MINUS, _SPACE, _NEWLINE, _ZERO = b".- \n0"
# pinhole cameras of the Kinect v2: focal length, centre x and y in pixels, offset of the lens in metres
DEPTH, COLOUR = (365.0, 256.0, 212.0, 0.0), (1060.0, 960.0, 540.0, 0.052)


def skeleton_text(tracks: list[Track]) -> bytes:
    """A whole file. Per frame a body count; per body a line of ten beginning with its id, a joint count, a line of twelve a joint."""
    bodies = [_lines(track) for track in tracks]
    parts = [b"%d\n" % len(tracks[0].seen)]
    for frame in range(len(tracks[0].seen)):
        seen = [index for index, track in enumerate(tracks) if track.seen[frame]]
        parts.append(b"%d\n" % len(seen))
        for index in seen:
            parts += (b"%d 0 1 1 1 1 0 0.0 0.0 2\n25\n" % tracks[index].ids[frame], bodies[index][frame])
    return b"".join(parts)


def _lines(track: Track) -> list[bytes]:
    """The 25 lines of each frame: x y z, depth x y, colour x y, orientation w x y z, state."""
    length, joints = track.states.shape
    pixels = np.concatenate([_project(track.joints, DEPTH), _project(track.joints, COLOUR)], -1)
    orientation = np.broadcast_to(_heading(track.joints), (length, joints, 4))
    columns = [(track.joints, 6), (pixels, 3), (orientation, 5)]
    blocks = [decimals(values.reshape(length * joints, -1), places) for values, places in columns]
    state = np.stack([_ZERO + track.states.reshape(-1), np.full(length * joints, _NEWLINE)], -1).astype(np.uint8)
    text = np.concatenate([*blocks, state], 1).reshape(length, -1)
    ends = np.cumsum(np.count_nonzero(text, 1)).tolist()
    packed = text[text != 0].tobytes()
    return [packed[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def decimals(values: np.ndarray, places: int) -> np.ndarray:
    """(rows, columns) numbers below 10^(8 − places) as (rows, bytes) text, each followed by a space; bytes that are 0 are to be left out."""
    rows, columns = values.shape
    whole = DIGITS - places
    number = np.rint(np.abs(values) * 10.0**places).astype(np.int64)
    digits = np.stack([_FOURS[number // 10_000], _FOURS[number % 10_000]], -1).view(np.uint8)
    text = np.empty((rows, columns, DIGITS + 3), np.uint8)
    text[..., 0] = np.where((values < 0) & (number > 0), _MINUS, 0)
    text[..., 1 : whole + 1] = digits[..., :whole]
    for place in range(whole - 1):  # leading zeros go
        text[..., place + 1][number < 10 ** (DIGITS - 1 - place)] = 0
    text[..., whole + 1] = _POINT
    text[..., whole + 2 : -1] = digits[..., whole:]
    text[..., -1] = _SPACE
    return text.reshape(rows, -1)


def _project(joints: np.ndarray, camera: tuple[float, float, float, float]) -> np.ndarray:
    """(T, 25, 2) pixels of (T, 25, 3) points in metres."""
    focal, centre_x, centre_y, offset = camera
    depth = np.maximum(joints[..., 2], 0.5)
    return np.stack([centre_x + focal * (joints[..., 0] + offset) / depth, centre_y - focal * joints[..., 1] / depth], -1)


def _heading(joints: np.ndarray) -> np.ndarray:
    """(T, 1, 4) quaternion w x y z of the body's turn about the vertical, read off its hips; all joints share it."""
    across = joints[:, 12] - joints[:, 16]
    half = np.arctan2(-across[:, 2], across[:, 0]) / 2
    zero = np.zeros_like(half)
    return np.stack([np.cos(half), zero, np.sin(half), zero], -1)[:, None]
