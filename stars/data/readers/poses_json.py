"""Poses as JSON, as pose estimators write them: a list of frames, or an object with `frames`. A frame is one of

a pose          V points in the description's order, each [x, y, z], [x, y, z, confidence] or {"x": …, "y": …, "z": …};
                or a flat list of their numbers, 3 or 4 per point
poses           a list of these: the bodies
no body         null or []
an object       with one of these as `people`, `poses`, `landmarks`, `pose_world_landmarks`, `pose_landmarks`, `keypoints` or
                `pose_keypoints_3d`, as in MediaPipe's and OpenPose's results

Coordinates are in metres. Other keys (visibility, version, …) are ignored.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from stars.data.readers import FARTHEST, Layout, unreadable
from stars.data.readers.text_json import parsed, shown

LARGEST = 64 * 2**20  # bytes, about 15,000 frames of 33 named landmarks
HOLDERS = ("people", "poses", "landmarks", "pose_world_landmarks", "pose_landmarks", "keypoints", "pose_keypoints_3d")
MOST = 100_000  # frames, an hour: a frame without a body takes five bytes
DEEPEST = 8  # nested objects and lists around a pose


class _Wrong(ValueError):
    """(expected, found) of a frame."""


def read(data: bytes, source: str, layout: Layout) -> np.ndarray:
    """Joints (T, M, V, 3) float32 of the file's bytes, M the largest number of bodies in a frame; InputError if the
    file is invalid.
    """
    value = parsed(data, source, LARGEST)
    frames = value.get("frames") if isinstance(value, dict) else value
    if not isinstance(frames, list) or not frames:
        unreadable(source, None, "a list of frames, or an object with frames", shown(value))
    if len(frames) > MOST:
        unreadable(source, None, f"at most {MOST} frames", str(len(frames)))
    found = []
    for number, frame in enumerate(frames, 1):
        try:
            found.append(_bodies(frame, len(layout.joints), DEEPEST))
            if len(found[-1]) > layout.bodies:
                raise _Wrong(f"at most {layout.bodies} bodies", str(len(found[-1])))
        except _Wrong as wrong:
            unreadable(source, None, f"{wrong.args[0]} in frame {number}", wrong.args[1])
    x_tmvc = np.zeros((len(found), max(1, *map(len, found)), len(layout.joints), 3), np.float32)
    for x_mvc, bodies in zip(x_tmvc, found, strict=True):
        for x_vc, pose in zip(x_mvc, bodies, strict=False):
            x_vc[:] = pose
    return x_tmvc


def _bodies(frame: Any, joints: int, deepest: int) -> list[list[list[float]]]:
    """The poses of a frame, each `joints` points of three numbers."""
    if isinstance(frame, dict) and "x" not in frame:
        holder = next((name for name in HOLDERS if name in frame), None)
        if holder is None or not deepest:
            raise _Wrong(f"poses, or an object with {', '.join(HOLDERS[:3])} …", shown(frame))
        return _bodies(frame[holder], joints, deepest - 1)
    if frame is None or frame == []:
        return []
    if not isinstance(frame, list) or not deepest:
        raise _Wrong(f"poses of {joints} joints", shown(frame))
    if _is_number(frame[0]):
        return [_row(frame, joints)]
    if _is_point(frame[0]):
        return [_points(frame, joints)]
    return [pose for one in frame for pose in _bodies(one, joints, deepest - 1)]


def _row(numbers: list[Any], joints: int) -> list[list[float]]:
    """A pose given as a flat list of numbers."""
    size, left = divmod(len(numbers), joints)
    if size not in (3, 4) or left:
        raise _Wrong(f"{3 * joints} or {4 * joints} numbers", shown(numbers))
    return _points([numbers[at : at + size] for at in range(0, len(numbers), size)], joints)


def _points(points: list[Any], joints: int) -> list[list[float]]:
    if len(points) != joints:
        raise _Wrong(f"{joints} joints", shown(points))
    return [_point(point) for point in points]


def _point(point: Any) -> list[float]:
    if not _is_point(point):
        raise _Wrong("x, y and z of each joint", shown(point))
    values = [point[axis] for axis in "xyz"] if isinstance(point, dict) else point[:3]
    for value in values:
        if not _is_number(value) or not abs(value) <= FARTHEST:
            raise _Wrong("x, y and z in metres", shown(value))
    return values


def _is_point(value: Any) -> bool:
    if isinstance(value, dict):
        return {"x", "y", "z"} <= value.keys()
    return isinstance(value, list) and len(value) in (3, 4) and _is_number(value[0])


def _is_number(value: Any) -> bool:
    return type(value) in (int, float)
