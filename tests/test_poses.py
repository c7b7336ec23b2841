"""Poses as JSON and as a table: every stated layout is read alike, and whatever else stands there is one line."""

import csv
import io
import json
import re

import numpy as np
import pytest
from fuzz import OWN
from hypothesis import given, settings
from hypothesis import strategies as st

from stars.data.dataset import Dataset
from stars.data.readers import Layout, folder
from stars.errors import InputError

LAYOUT = Layout.of(Dataset(**OWN))  # 2 bodies; head, spine, left hand
CLIP = np.arange(1, 55).reshape(3, 2, 3, 3) / 8  # exact in decimals and in float32
COLUMNS = [f"{joint}_{axis}" for joint in ("head", "spine", "left_hand") for axis in "xyz"]


def read(file: str, data: bytes | str) -> np.ndarray:
    return folder.read(data.encode() if isinstance(data, str) else data, f"day1/{file}", LAYOUT)


def points(pose: np.ndarray, kind: str):
    """A pose (V, 3) in one of the stated forms."""
    with_confidence = np.concatenate([pose, np.full((len(pose), 1), 0.5)], axis=1)
    return {
        "lists": pose.tolist(),
        "confidence": with_confidence.tolist(),
        "objects": [{"x": x, "y": y, "z": z, "visibility": 0.9} for x, y, z in pose.tolist()],
        "row": pose.ravel().tolist(),
        "row of four": with_confidence.ravel().tolist(),
    }[kind]


def held(bodies: list, kind: str):
    """A frame's bodies in one of the stated forms."""
    return {
        "list": bodies,
        "people": {"version": 1.3, "people": [{"person_id": [-1], "pose_keypoints_3d": body} for body in bodies]},
        "landmarks": {"timestamp": 5, "pose_world_landmarks": bodies},
    }[kind]


@pytest.mark.parametrize("holder", ["list", "people", "landmarks"])
@pytest.mark.parametrize("kind", ["lists", "confidence", "objects", "row", "row of four"])
def test_every_stated_form_of_json(kind, holder):
    frames = [held([points(pose, kind) for pose in frame], holder) for frame in CLIP]
    for value in (frames, {"fps": 30, "frames": frames}):
        x_tmvc = read("a.json", json.dumps(value))
        assert x_tmvc.dtype == np.float32 and np.array_equal(x_tmvc, CLIP)
    alone = [held(points(frame[0], kind), "list") for frame in CLIP]
    assert np.array_equal(read("a.json", json.dumps(alone)), CLIP[:, :1])
    nobody = read("a.json", json.dumps([*frames, None, [], held([], holder)]))
    assert np.array_equal(nobody[:3], CLIP) and nobody.shape == (6, 2, 3, 3) and not nobody[3:].any()


def table(rows: list[list[object]], columns: list[str]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows([columns, *rows])
    return text.getvalue()


def test_every_stated_form_of_a_table():
    alone = [pose.ravel().tolist() for pose in CLIP[:, 0]]
    spelt = ["Head_X", "head y", "HEAD_z", *(name.replace("_", " ") for name in COLUMNS[3:])]
    for columns in (COLUMNS, spelt):
        assert np.array_equal(read("a.csv", table(alone, columns)), CLIP[:, :1])
    order = np.random.default_rng(0).permutation(9)
    mixed = [[0.9, *np.array(row)[order].tolist()] for row in alone]
    assert np.array_equal(read("a.csv", table(mixed, ["score", *(COLUMNS[place] for place in order)])), CLIP[:, :1])
    both = [[frame + 7, *pose.ravel().tolist()] for frame, bodies in enumerate(CLIP) for pose in bodies]
    assert np.array_equal(read("a.csv", table(both, ["frame", *COLUMNS])), CLIP)
    both[3] = [8, *[""] * 9]
    x_tmvc = read("a.csv", table(both, ["frame", *COLUMNS]))
    assert not x_tmvc[1, 1].any() and np.array_equal(x_tmvc[1, 0], CLIP[1, 0])


POSE = CLIP[0, 0].tolist()
ROW = ",".join(map(str, CLIP[0, 0].ravel()))
HEAD = ",".join(COLUMNS)
BAD = {
    ("a.json", "{"): ", line 1: expected JSON, found Expecting property name",
    ("a.json", "[]"): ": expected a list of frames, or an object with frames, found a list of 0",
    ("a.json", '{"poses": []}'): ": expected a list of frames, or an object with frames, found an object of 1",
    ("a.json", json.dumps([POSE, POSE[:2]])): ": expected 3 joints in frame 2, found a list of 2",
    (
        "a.json",
        json.dumps([POSE, [*POSE[:2], [1, 2]]]),
    ): ": expected x, y and z of each joint in frame 2, found a list of 2",
    ("a.json", json.dumps([[POSE] * 3])): ": expected at most 2 bodies in frame 1, found 3",
    ("a.json", json.dumps([[1, 2, 3, 4]])): ": expected 9 or 12 numbers in frame 1, found a list of 4",
    ("a.json", json.dumps(["nobody"])): ": expected poses of 3 joints in frame 1, found 'nobody'",
    (
        "a.json",
        json.dumps([{"person": POSE}]),
    ): ": expected poses, or an object with people, poses, landmarks … in frame 1, found an object of 1",
    ("a.json", json.dumps([[*POSE[:2], [1, 2, "3"]]])): ": expected x, y and z in metres in frame 1, found '3'",
    ("a.json", json.dumps([[*POSE[:2], [1, 2, 3e7]]])): ": expected x, y and z in metres in frame 1, found 30000000.0",
    ("a.json", "[" * 500 + "1" + "]" * 500): ": expected poses of 3 joints in frame 1, found a list of 1",
    ("a.json", "[" + "null," * 100_000 + "null]"): ": expected at most 100000 frames, found 100001",
    ("a.csv", ""): ", line 1: expected one column head_x, as for each of the 3 joints, found 0",
    ("a.csv", f"{HEAD},head x\n"): ", line 1: expected one column head_x, as for each of the 3 joints, found 2",
    ("a.csv", f"{HEAD}\n"): ", line 2: expected a row for each frame, found the end of the file",
    ("a.csv", f"{HEAD}\n{ROW},1\n"): ", line 2: expected 9 cells, found 10",
    ("a.csv", f"{HEAD}\n{ROW}\n{ROW[:-4]}nan\n"): ", line 3: expected x, y and z in metres, found '",
    ("a.csv", f"{HEAD}\n1_0{ROW[5:]}\n"): ", line 2: expected x, y and z in metres, found '1_0",
    ("a.csv", f"{HEAD}\n{ROW[5:]}\n"): ", line 2: expected x, y and z in metres, found ''",
    (
        "a.csv",
        f"frame,{HEAD}\n0,{ROW}\n2,{ROW}\n",
    ): ", line 3: expected the frame of the row above, or the next, 1, found '2'",
    (
        "a.csv",
        f"frame,{HEAD}\n4,{ROW}\n3,{ROW}\n",
    ): ", line 3: expected the frame of the row above, or the next, 5, found '3'",
    ("a.csv", f"frame,{HEAD}\n" + f"1,{ROW}\n" * 3): ", line 4: expected at most 2 rows a frame, found 3",
}


@pytest.mark.parametrize(("file", "data"), BAD, ids=range(len(BAD)))
def test_what_is_wrong_is_named(file, data):
    with pytest.raises(InputError, match=re.escape(f"day1/{file}{BAD[file, data]}")) as error:
        read(file, data)
    assert "\n" not in str(error.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["frames", "people", "landmarks", "x", "y", "z"]), inner)
    ),
    max_leaves=30,
)
CELLS = st.sampled_from(["", "1", "-2.5", "1e9", "nan", "x", '"', "1_0"])
TABLES = st.lists(st.lists(CELLS, min_size=9, max_size=10), max_size=4).map(
    lambda rows: table(rows, ["frame", *COLUMNS])
)


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(["a.json", "a.csv"]),
    st.binary() | JSON.map(lambda value: json.dumps(value).encode()) | TABLES.map(str.encode),
)
def test_no_bytes_raise_anything_else(file, data):
    try:
        assert np.isfinite(read(file, data)).all()
    except InputError as error:
        assert "\n" not in str(error)
