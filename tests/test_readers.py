"""Readers and denoising: equal to the reference, equal to a plain reader, and never any error but their own."""

import io
import os
import re
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from stars.config import Ingest
from stars.data.convert import actors, stored
from stars.data.dataset import FOLDER, Dataset
from stars.data.readers import Layout, ntu, utd_mhad
from stars.data.readers.decimals import Marks, leading
from stars.errors import InputError

PARITY = Path(os.environ.get("STARS_PARITY_DIR", Path(__file__).parent / "data/parity"))
LAYOUT = {
    name: Layout.of(Dataset(**yaml.safe_load((FOLDER / f"{name}.yaml").read_text())))
    for name in ("ntu60", "ntu120", "utd_mhad")
}
NTU = LAYOUT["ntu60"]


def ntu_file(bodies_per_frame: list[list[int]], seed: int = 0) -> bytes:
    """A file in NTU's layout with these body ids in each frame."""
    rng, lines = np.random.default_rng(seed), [str(len(bodies_per_frame))]
    for bodies in bodies_per_frame:
        lines.append(str(len(bodies)))
        for body in bodies:
            lines += [f"{body} 0 1 1 1 1 0 0.02 0.04 2", "25"]
            lines += [
                " ".join(f"{v:.7g}" for v in rng.normal(size=3)) + " 277.4 191.8 1036.2 519.1 -0.2 0.05 0.97 -0.12 2"
                for _ in range(25)
            ]
    return ("\r\n".join(lines) + "\r\n").encode()


def plain_reader(data: bytes) -> dict[int, list[np.ndarray]]:
    """The joints of each body id, read word by word."""
    words, found = iter(data.split()), {}
    for _ in range(int(next(words))):
        for _ in range(int(next(words))):
            head = [next(words) for _ in range(11)]
            joints = [[next(words) for _ in range(12)] for _ in range(int(head[10]))]
            found.setdefault(int(head[0]), []).append(
                np.array([[float(word) for word in joint[:3]] for joint in joints]).astype(np.float32)
            )
    return found


def fixture() -> tuple[dict[str, np.ndarray], list[bytes]]:
    with np.load(PARITY / "ntu_denoise.npz", allow_pickle=False) as file:
        expected = dict(file)
    return expected, [(PARITY / "ntu_denoise_raw" / f"{name}.skeleton").read_bytes() for name in expected["names"]]


def test_denoising_equals_the_reference_bit_for_bit():
    expected, files = fixture()
    for row, data in enumerate(files):
        clip = actors(data, "clip", NTU, Ingest())
        assert clip.reshape(len(clip), -1).tobytes() == expected[f"den_{row}"].tobytes(), expected["what"][row]
        for name in ("ntu60", "ntu120"):
            made = stored(clip, LAYOUT[name], Ingest()).reshape(len(clip), 150)
            np.testing.assert_array_equal(
                made, expected[name][row][: len(made)], err_msg=f"{name} {expected['what'][row]}"
            )
            assert not expected[name][row][len(made) :].any()


def test_contested_points_are_keys():
    clip = actors(ntu_file([[7]] * 5), "clip", NTU, Ingest())
    assert np.array_equal(stored(clip, NTU, Ingest(centre="none"))[:, 0], clip[:, 0])
    copied = stored(clip, NTU, Ingest(single_body="copy", max_frames=3))
    assert (
        copied.shape == (3, 2, 25, 3)
        and np.array_equal(copied[:, 0], copied[:, 1])
        and not copied[0, 0, NTU.root].any()
    )
    assert not stored(clip, NTU, Ingest())[:, 1].any() and stored(clip, NTU, Ingest(bodies=1)).shape[1] == 1


def test_ntu_reader_equals_a_plain_one():
    for data in [*fixture()[1], ntu_file([[72057594037927937, 72057594037927936], [], [72057594037927936]] * 40)]:
        read, plain = ntu.read(data, "f", NTU), plain_reader(data)
        assert list(read.bodies) == list(plain)  # the two ids of the last file are one float64
        for body, joints in plain.items():
            np.testing.assert_array_equal(read.bodies[body].joints, np.stack(joints))


def test_ntu_reader_takes_other_spacing_and_notation():
    usual = ntu_file([[5]] * 3)
    expected = ntu.read(usual, "f", NTU).bodies[5].joints
    assert np.array_equal(
        ntu.read(usual.replace(b"\r\n", b" \n").replace(b" 277.4", b"\t 277.4"), "f", NTU).bodies[5].joints, expected
    )
    assert ntu.read(usual.replace(b"0.02 0.04", b"NaN -inf"), "f", NTU).frames == 3
    line = usual.split(b"\r\n")[4]
    odd = (
        ntu.read(usual.replace(line, b"-1.25e-05 +3 123.45678901234567890" + line[line.index(b" 277.4") :]), "f", NTU)
        .bodies[5]
        .joints
    )
    assert odd[0, 0].tolist() == np.array([-1.25e-05, 3, 123.45678901234567890], np.float32).tolist()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lines: lines[:40], "line 40: expected 25 lines of joints, found the end of the file"),
        (lambda lines: [b"1000000000", *lines[1:]], "the number of bodies in a frame, found the end"),
        (lambda lines: [lines[0], b"1000000000", *lines[2:]], "line 30: expected a body's id"),
        (lambda lines: [*lines[:3], b"20", *lines[4:]], "line 4: expected 25 joints, found 20"),
        (lambda lines: [*lines[:3], b"1000000000", *lines[4:]], "line 4: expected 25 joints"),
        (
            lambda lines: [*lines[:6], b"nan 1 2 3 4 5 6 7 8 9 10 11", *lines[7:]],
            "line 7: expected x, y and z in metres, found 'nan'",
        ),
        (lambda lines: [*lines[:6], b"1 1e999 2 3 4 5 6 7 8 9 10 11", *lines[7:]], "line 7: expected x, y"),
        (
            lambda lines: [*lines[:6], b"1 9999999 2 3 4 5 6 7 8 9 10 11", *lines[7:]],
            "line 7: expected x, y and z in metres, found '9999999'",
        ),
        (lambda lines: [*lines[:6], b"1 2 3", *lines[7:]], "line 7: expected a joint, 12 numbers, found 3"),
        (lambda lines: [*lines[:6], b"1_0 1 2 3 4 5 6 7 8 9 10 11", *lines[7:]], "line 7: expected x, y"),
        (lambda lines: [*lines, b"7"], "expected the end of the file after the last frame"),
        (lambda lines: [b"-3", *lines[1:]], "line 1: expected the number of frames"),
        (lambda lines: [b"\0".join(lines)], "line 1: expected the number of frames"),
        (lambda lines: [], "line 1: expected the number of frames, found the end of the file"),
    ],
)
def test_a_bad_ntu_file_gets_file_line_expected_and_found(change, message):
    with pytest.raises(InputError, match=message) as error:
        ntu.read(b"\n".join(change(ntu_file([[5]] * 3).split(b"\r\n")[:-1])), "a.skeleton", NTU)
    assert "a.skeleton" in str(error.value) and "\n" not in str(error.value)


def test_the_first_of_several_bad_lines_is_named():
    lines = ntu_file([[5, 6]] * 3).split(b"\r\n")
    lines[40] = lines[70] = b"1 2 3"  # line 41 is of body 6, line 71 of body 5
    with pytest.raises(InputError, match=r"line 41: expected a joint, 12 numbers, found 3"):
        ntu.read(b"\n".join(lines), "f", NTU)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_mutated_ntu_files_raise_nothing_else(data):
    text = bytearray(ntu_file([[5, 6], [5]]))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text) - 1))
        text[at : at + data.draw(st.integers(0, 40))] = data.draw(
            st.one_of(st.binary(max_size=8), st.sampled_from([b"1e9", b"\n", b"nan", b"25 "]))
        )
        text = text or bytearray(b"1")
    try:
        for body in ntu.read(bytes(text), "f", NTU).bodies.values():
            assert np.isfinite(body.joints).all()
    except InputError:
        pass


NUMBER = st.from_regex(rb"\A-?[0-9]{0,9}\.?[0-9]{0,9}[-.eE+x]?\Z") | st.floats(-1e4, 1e4).map(
    lambda value: f"{value:.7g}".encode()
)
LINE = st.lists(NUMBER, min_size=1, max_size=5).map(b" ".join)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=20), st.lists(LINE, max_size=10), st.sampled_from([b"\n", b"\r\n", b" 7 7\n"]))
def test_leading_numbers_equal_float(before, lines, end):
    data = end.join([before, *lines, b"7" * 16])
    starts = np.cumsum([len(line) + len(end) for line in [before, *lines]])[:-1]
    text = np.frombuffer(data, np.uint8)
    values, plain = leading(text, starts, Marks(text, " "), Marks(text, "."))
    for start, row, good in zip(starts, values, plain, strict=True):
        numbers = data[start:].split(b" ")
        form = len(numbers) > 3 and all(
            re.fullmatch(rb"-?[0-9]*\.[0-9]*", word) and 2 <= len(word.strip(b"-")) <= 15 for word in numbers[:3]
        )
        assert good == form or (form and start < 16)
        assert not good or row.tolist() == [float(word) for word in numbers[:3]]


@given(st.binary(max_size=300))
def test_marks_count_and_find(data):
    text, at = np.frombuffer(data + b"a", np.uint8), np.arange(len(data) + 1)
    marks = Marks(text, "a")
    assert marks.before(at).tolist() == [data[:position].count(b"a") for position in at]
    for position, ahead in zip(at.tolist(), marks.ahead(at).tolist(), strict=True):
        assert ahead % 2**57 == sum(
            1 << i for i, character in enumerate((data + b"a")[position : position + 57]) if character == ord("a")
        )


def mat(**variables) -> bytes:
    file = io.BytesIO()
    scipy.io.savemat(file, variables)
    return file.getvalue()


def test_utd_mhad_reader():
    joints = np.random.default_rng(0).normal(size=(20, 3, 7))
    read = utd_mhad.read(mat(d_skel=joints), "f", LAYOUT["utd_mhad"])
    assert read.dtype == np.float32 and np.array_equal(read[:, 0], joints.transpose(2, 0, 1).astype(np.float32))
    assert utd_mhad.name_of("a3_s1_t2_skeleton.mat").name == "a003_s001_t002"
    whole = mat(d_skel=joints)
    bad = [
        b"",
        b"MATLAB 5.0 MAT-file",
        whole[:300],
        mat(other=joints),
        mat(d_skel=joints[:19]),
        mat(d_skel="text"),
        mat(d_skel=joints * np.nan),
    ]
    for data in bad:
        with pytest.raises(InputError, match=r"f.*expected .*, found"):
            utd_mhad.read(data, "f", LAYOUT["utd_mhad"])


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3000), st.binary(min_size=1, max_size=6)), min_size=1, max_size=3))
def test_mutated_mat_files_raise_nothing_else(changes):
    data = bytearray(mat(d_skel=np.ones((20, 3, 5))))
    for at, new in changes:
        data[at : at + len(new)] = new
    try:
        assert np.isfinite(utd_mhad.read(bytes(data), "f", LAYOUT["utd_mhad"])).all()
    except InputError:
        pass


def test_descriptions_hold_the_published_facts():
    sets = {name: Dataset(**yaml.safe_load((FOLDER / f"{name}.yaml").read_text())) for name in LAYOUT}
    assert [len(sets[name].actions) for name in LAYOUT] == [60, 120, 27]
    assert len(sets["ntu60"].splits["xsub"].train) == 20 and len(sets["ntu120"].splits["xsub"].train) == 53
    for dataset in sets.values():
        assert dataset.parents[dataset.root] == dataset.root
        assert all(sum(split.counts) == dataset.clips for split in dataset.splits.values() if split.counts)
        assert all(
            dataset.joints[left].replace("left", "right") == dataset.joints[right] for left, right in dataset.mirror
        )
