"""NW-UCLA's JSON files, one per clip, with a single body: file_name, skeletons (frames, 20 joints, xyz) in metres,
label (1 to 10).
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from stars.data.readers import FARTHEST, Clip, Found, Layout, by_name, unreadable
from stars.data.readers.text_json import parsed, shown
from stars.data.sources import Source

SUFFIXES: tuple[str, ...] = (".json",)
# bytes, about 10,000 frames (the longest real clip has 201); parsed JSON takes about 30 times its size
LARGEST = 8 * 2**20
_NAME = re.compile(r"a(\d{2,3})_s(\d{2,3})_e(\d{2,3})_v(\d{2,3})\.json", re.ASCII)


def clips(source: Source, layout: Layout) -> Found:
    """Every file with its clip, according to its name."""
    return by_name(source, name_of)


def name_of(file_name: str) -> Clip:
    """a01_s02_e00_v03.json: action 1, subject 2, first replication, view 3."""
    found = _NAME.fullmatch(file_name)
    if not found:
        unreadable(file_name, None, "a name like a01_s02_e00_v03.json", "another")
    action, subject, time, view = map(int, found.groups())
    return Clip(file_name.removesuffix(".json"), action, subject, view, replication=time + 1)


def read(data: bytes, source: str, layout: Layout) -> np.ndarray:
    """Joints (T, 1, V, 3) float32 of the file's bytes; InputError if the file is invalid."""
    value, joints = _parsed(data, source), len(layout.joints)
    name = PurePosixPath(source).name.removesuffix(".json")
    if value["file_name"] != name:
        unreadable(source, None, f"file_name {name}", shown(value["file_name"]))
    if type(value["label"]) is not int or value["label"] < 1:
        unreadable(source, None, "label, a whole number from 1", shown(value["label"]))
    if not isinstance(value["skeletons"], list):
        unreadable(source, None, "skeletons, a list of frames", shown(value["skeletons"]))
    for number, frame in enumerate(value["skeletons"], 1):
        _check(frame, joints, number, source)
    return np.array(value["skeletons"], np.float64).reshape(-1, 1, joints, 3).astype(np.float32)


def _parsed(data: bytes, source: str) -> dict[str, Any]:
    """The file's JSON object with its three keys."""
    value = parsed(data, source, LARGEST)
    for key in ("file_name", "skeletons", "label"):
        if not isinstance(value, dict) or key not in value:
            unreadable(source, None, f"a JSON object with {key}", "none")
    return value


def _check(frame: Any, joints: int, number: int, source: str) -> None:
    """InputError unless the frame is a list of `joints` joints, each three numbers in metres."""
    if not isinstance(frame, list) or len(frame) != joints:
        unreadable(source, None, f"{joints} joints in frame {number}", shown(frame))
    for joint in frame:
        if not isinstance(joint, list) or len(joint) != 3:
            unreadable(source, None, f"x, y and z of each joint in frame {number}", shown(joint))
        for value in joint:
            if type(value) not in (int, float) or not abs(value) <= FARTHEST:
                unreadable(source, None, f"x, y and z in metres in frame {number}", shown(value))
