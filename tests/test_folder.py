"""Clips of your own: `.npy` files of every kind of number, clips.csv, and one clear line for whatever is wrong with
either.
"""

import io
import re
import struct

import numpy as np
import pytest
from fuzz import OWN, Memory
from hypothesis import given, settings
from hypothesis import strategies as st

from stars.config import Ingest
from stars.data.dataset import Dataset
from stars.data.readers import Clip, Layout, folder
from stars.data.sources import Source
from stars.data.store import ClipStore
from stars.errors import InputError
from stars.ingest import IngestStage, ingest

DATASET = Dataset(**OWN)
LAYOUT = Layout.of(DATASET)  # 2 bodies, 3 joints, actions 1 wave, 2 beckon, 3 circle arm, 16 shake hands
CLIP = np.arange(1, 37).reshape(2, 2, 3, 3)


def npy(array: np.ndarray, version: tuple[int, int] | None = None) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, np.asanyarray(array), version, allow_pickle=True)
    return file.getvalue()


def by_hand(header: str, content: bytes = bytes(72)) -> bytes:
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header.encode() + content


def table(text: str | bytes, files: tuple[str, ...] = ("a.npy", "b.npy")) -> dict[str, list[Clip] | str]:
    """What the reader says of each file, errors as text."""
    contents = {"clips.csv": text.encode() if isinstance(text, str) else text} | dict.fromkeys(files, b"")
    return {
        file: str(found) if isinstance(found, InputError) else found
        for file, found in folder.clips(Memory.of(contents), LAYOUT)
    }


@pytest.mark.parametrize("kind", ["f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"])
def test_every_kind_of_number_order_and_version(kind):
    for order in "<>":
        for array in (CLIP.astype(order + kind), np.asfortranarray(CLIP.astype(order + kind))):
            for version in ((1, 0), (2, 0), (3, 0)):
                x_tmvc = folder.read(npy(array, version), "a.npy", LAYOUT)
                assert x_tmvc.dtype == np.float32 and np.array_equal(x_tmvc, CLIP)
    assert np.array_equal(folder.read(npy(CLIP[:, 0].astype(kind)), "a.npy", LAYOUT), CLIP[:, :1])
    assert np.array_equal(folder.read(npy(CLIP[:, :1].astype(kind)), "a.npy", LAYOUT), CLIP[:, :1])


def test_a_header_of_another_writer():
    for header in (
        "{'shape': (1,3,3), 'fortran_order':False, 'descr':'<f8'}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (1, 3, 3,), }   \n",
    ):
        assert folder.read(by_hand(header), "a.npy", LAYOUT).shape == (1, 1, 3, 3)


ONE = "{'descr': '<f8', 'fortran_order': False, 'shape': (1, 3, 3), }"
BAD = {
    "a .npy file, found ''": b"",
    "a .npy file, found 'PK": b"PK\3\4" + bytes(20),
    "a header of at most 0 bytes, found 118": npy(CLIP)[:10],
    "a header of at most 1000 bytes, found 65535": b"\x93NUMPY\1\0\xff\xff" + bytes(70_000),
    "72 bytes of numbers for (1, 3, 3), found 71": npy(np.zeros((1, 3, 3)))[:-1],
    "72 bytes of numbers for (1, 3, 3), found 73": npy(np.zeros((1, 3, 3))) + b"\0",
    "an array with numbers in it, found (0, 3, 3)": npy(np.zeros((0, 3, 3))),
    "an array of numbers, found \"{'descr': '|O'": npy(np.zeros((1, 3, 3), object)),
    "an array of numbers, found \"{'descr': '<c16'": npy(np.zeros((1, 3, 3), complex)),
    "an array of numbers, found \"{'descr': '|b1'": npy(np.zeros((1, 3, 3), bool)),
    "an array of numbers, found \"{'descr': '<U1'": npy(np.zeros((1, 3, 3), "U1")),
    "the header of a plain array, found \"{'descr': [(": npy(np.zeros((1, 3, 3), [("x", "f4")])),
    "the header of a plain array, found \"{'descr': '<f8', 'shape'": by_hand(
        ONE.replace("'fortran_order': False, ", "")
    ),
    'the header of a plain array, found "__import__': by_hand(ONE.replace("{", "__import__('os').abort() or {")),
    "the header of a plain array, found \"{'descr': '<f8', 'fortran_order': False, 'shape': (1, -3": by_hand(
        ONE.replace(" 3", " -3")
    ),
    "(3 joints, 3) a frame, or (at most 2 bodies, 3 joints, 3), found shape (1, 4, 3)": npy(np.zeros((1, 4, 3))),
    "(3 joints, 3) a frame, or (at most 2 bodies, 3 joints, 3), found shape (1, 3, 3, 3)": npy(np.zeros((1, 3, 3, 3))),
    "(3 joints, 3) a frame, or (at most 2 bodies, 3 joints, 3), found shape (3, 3)": npy(np.zeros((3, 3))),
    "coordinates in metres, found another value in frame 2": npy(
        np.where(np.arange(18).reshape(2, 3, 3) == 10, np.nan, 1)
    ),
    "coordinates in metres, found another value in frame 1": npy(np.full((1, 3, 3), 1e300)),
}


@pytest.mark.parametrize("message", BAD)
def test_a_bad_array_is_named(message):
    with pytest.raises(InputError, match=re.escape(f"day1/a.npy: expected {message}")):
        folder.read(BAD[message], "day1/a.npy", LAYOUT)


def test_what_the_table_says():
    text = "\ufefffile, label ,subject,camera,replication\r\na.npy,wave,3,2,4\r\n\r\n./b.npy,16,12,1,1\r\n"
    assert table(text) == {"a.npy": [Clip("a", 1, 3, 2, 1, 4)], "b.npy": [Clip("b", 16, 12, 1, 1, 1)]}
    assert table('file,label,subject\n"a.npy","circle arm",0\nb.npy,2,1\n') == {
        "a.npy": [Clip("a", 3, 0)],
        "b.npy": [Clip("b", 2, 1)],
    }
    nested = {"mine/clips.csv": b"file,label,subject\nday1/a.npy,1,1\n", "mine/day1/a.npy": b""}
    assert dict(folder.clips(Memory.of(nested), LAYOUT)) == {"mine/day1/a.npy": [Clip("mine/day1/a", 1, 1)]}


HEAD = "file,label,subject\n"
COLUMNS = (
    "clips.csv, line 1: expected the columns file, label, subject and optionally camera, setup, replication, found "
)
BAD_TABLES = {
    f"{COLUMNS}'file,label'": "file,label\na.npy,1\n",
    f"{COLUMNS}'file,label,subject,camara'": HEAD[:-1] + ",camara\n",
    f"{COLUMNS}'file,label,subject,file'": HEAD[:-1] + ",file\n",
    f"{COLUMNS}'file;label;subject'": HEAD.replace(",", ";"),
    f"{COLUMNS}''": "",
    "clips.csv, line 3: expected 3 cells, found 2": HEAD + "a.npy,1,1\nb.npy,1\n",
    "clips.csv, line 2: expected comma-separated values, found unexpected end of data": HEAD + '"a.npy,1,1\n',
    "clips.csv, line 2: expected text in UTF-8, found": HEAD.encode() + b"\xe4.npy,1,1\n",
    "clips.csv, line 1: expected text in UTF-8, found": HEAD.encode("utf-16"),
    "clips.csv: expected a table of at most 16777216 bytes, found 16777217": b" " * (16 * 2**20 + 1),
}


@pytest.mark.parametrize("message", BAD_TABLES)
def test_no_table_is_one_error(message):
    with pytest.raises(InputError, match=re.escape(message)):
        table(BAD_TABLES[message])


BAD_ROWS = {
    "c.npy,1,1": ("c.npy", "clips.csv, line 3: expected an existing .npy, .json or .csv file, found 'c.npy'"),
    "../b.npy,1,1": ("../b.npy", "clips.csv, line 3: expected an existing .npy, .json or .csv file, found '../b.npy'"),
    "/etc/passwd,1,1": (
        "/etc/passwd",
        "clips.csv, line 3: expected an existing .npy, .json or .csv file, found '/etc/passwd'",
    ),
    "clips.csv,1,1": (
        "clips.csv",
        "clips.csv, line 3: expected an existing .npy, .json or .csv file, found 'clips.csv'",
    ),
    "a.npy,2,1": ("a.npy", "clips.csv, line 3: expected each file once, found 'a.npy', already in line 2"),
    "": ("b.npy", "b.npy: expected a line for it in clips.csv, found none"),
    "b.npy,wavee,1": (
        "b.npy",
        "clips.csv, line 3: expected the number or name of one of 4 actions, such as wave, found 'wavee'",
    ),
    "b.npy,4,1": ("b.npy", "clips.csv, line 3: expected the number or name of one of 4 actions, found '4'"),
    '"b.npy","wa\nve",1': (
        "b.npy",
        r"clips.csv, line 4: expected the number or name of one of 4 actions, such as wave, found 'wa\nve'",
    ),
    "b.npy,1,Anna": ("b.npy", "clips.csv, line 3: expected a whole number as subject, found 'Anna'"),
    "b.npy,1,-1": ("b.npy", "clips.csv, line 3: expected a whole number as subject, found '-1'"),
    "b.npy,1,": ("b.npy", "clips.csv, line 3: expected a whole number as subject, found ''"),
}


@pytest.mark.parametrize("row", BAD_ROWS)
def test_a_bad_row_is_one_error_and_the_others_are_read(row):
    found = table(f"{HEAD}a.npy,1,1\n{row}\n")
    file, message = BAD_ROWS[row]
    assert found[file] == message
    assert file == "a.npy" or found["a.npy"] == [Clip("a", 1, 1)]


def test_all_faults_of_a_folder_are_listed(tmp_path):
    raw = tmp_path / "raw"
    raw.mkdir()
    for name, frames in (("a", 2), ("b", 3), ("c", 4)):
        np.save(raw / f"{name}.npy", np.ones((frames, 3, 3)))
    (raw / "notes.txt").write_text("not a clip")
    stage = IngestStage.of("own", DATASET, Ingest())
    with pytest.raises(
        InputError, match=r"raw: expected one clips\.csv, found none: it lists the label and subject of each clip"
    ):
        ingest(raw, tmp_path / "out", stage)
    (raw / "clips.csv").write_text(HEAD + "a.npy,wave,1\nb.npy,weave,2\nd.npy,wave,1\n")
    with pytest.raises(InputError, match="3 files cannot be used") as error:
        ingest(raw, tmp_path / "out", stage)
    for fault in (
        "line 3: expected the number or name",
        "line 4: expected an existing .npy, .json or .csv file",
        "c.npy: expected a line for it",
    ):
        assert fault in str(error.value)
    (raw / "clips.csv").write_text(HEAD + "a.npy,wave,1\nb.npy,3,2\nc.npy,wave,2\n")
    ingest(raw, tmp_path / "out", stage)
    store = ClipStore.open(tmp_path / "out")
    assert store.table[["name", "action", "subject", "label", "frames"]].values.tolist() == [
        ["a", 1, 1, 0, 2],
        ["b", 3, 2, 2, 3],
        ["c", 1, 2, 0, 4],
    ]
    (raw / "again").mkdir()
    (raw / "again/clips.csv").write_text(HEAD)
    with pytest.raises(InputError, match=r"expected one clips\.csv, found again/clips\.csv, clips\.csv"):
        list(folder.clips(Source.open(raw, folder.SUFFIXES), LAYOUT))


@settings(max_examples=100, deadline=None)
@given(
    st.one_of(
        st.binary(),
        st.binary().map(lambda data: npy(CLIP)[:10] + data),
        st.text().map(lambda text: by_hand(text[:200])),
    )
)
def test_no_bytes_raise_anything_else(data):
    try:
        assert np.isfinite(folder.read(data, "a.npy", LAYOUT)).all()
    except InputError:
        pass


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 130),
            st.integers(0, 10),
            st.binary(max_size=4) | st.sampled_from([b"9" * 300, b"(", b"'|O'", b"'"]),
        ),
        min_size=1,
    )
)
def test_no_changed_array_raises_anything_else(changes):
    data = bytearray(npy(CLIP))
    for at, length, new in changes:
        data[at : at + length] = new
    try:
        assert np.isfinite(folder.read(bytes(data), "a.npy", LAYOUT)).all()
    except InputError:
        pass


CELLS = st.lists(
    st.sampled_from(["a.npy", "b.npy", "wave", "1", "file", "label", "subject", '"', "\0", "x" * 200_000])
    | st.text(max_size=3),
    max_size=4,
)


@settings(max_examples=100, deadline=None)
@given(
    st.one_of(
        st.binary(),
        st.lists(CELLS, max_size=4).map(
            lambda rows: (HEAD + "\n".join(map(",".join, rows))).encode("utf-8", "surrogatepass")
        ),
    )
)
def test_no_table_raises_anything_else(data):
    try:
        table(data)
    except InputError:
        pass
