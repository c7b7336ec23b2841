"""PKU-MMD: videos cut into clips by their labels, split by a list among the raw files."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from stars.config import Ingest
from stars.data.dataset import FOLDER, Dataset
from stars.data.readers import Layout, pku
from stars.data.splits import SplitStage, split, training_list
from stars.data.store import ClipStore
from stars.errors import InputError
from stars.ingest import IngestStage, ingest

PHASES = {phase: Dataset(**yaml.safe_load((FOLDER / f"pku{phase}.yaml").read_text())) for phase in (1, 2)}
LAYOUT = Layout.of(PHASES[1])


def video(frames: int, seed: int = 0, second_body: bool = True) -> np.ndarray:
    x_tmvc = np.random.default_rng(seed).normal(size=(frames, 2, 25, 3)).astype(np.float32)
    x_tmvc[:, 1] *= second_body
    return x_tmvc


def text(x_tmvc: np.ndarray) -> bytes:
    return "\r\n".join(" ".join(f"{value:.9g}" for value in frame.ravel()) for frame in x_tmvc).encode() + b"\r\n"


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """Three videos of 400, 60 and 60 frames. Files are written in no order."""
    folder = tmp_path / "raw"
    silent = video(60, 3)
    silent[10:20] = 0
    for name, x_tmvc, labels in (
        ("0003-M", silent, "51,0,60,2\n7,10,20,1\n"),
        ("0002-L", video(400, 1), "7,380,500,1\r\n3, 20 ,390,2\r\n\r\n7,500,510,1\r\n51,0,20,0\r\n"),
        ("0002-R", video(60, 2, second_body=False), "3,5,30,2\n7,5,30,2\n3,5,30,1\n"),
    ):
        for path, data in (
            (f"Skeleton/{name}.txt", text(x_tmvc)),
            (f"Train_Label_PKU_final/{name}.txt", labels.encode()),
        ):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(data)
    (folder / "readme.txt").write_text("prose")
    return folder


def make(raw: Path, out: Path, phase: int = 1, workers: int = 1, **keys: object) -> ClipStore:
    ingest(raw, out, IngestStage.of("pku", PHASES[phase], Ingest(**keys)), workers)
    return ClipStore.open(out)


def test_clips_are_the_labelled_segments(raw, tmp_path):
    store = make(raw, tmp_path / "clips")
    expected = {
        "0002-L_000000-000020_A51": video(400, 1)[:20],
        "0002-L_000020-000390_A03": video(400, 1)[20:320],  # at most 300 frames
        "0002-L_000380-000500_A07": video(400, 1)[380:],  # the video ends before the segment
        "0002-R_000005-000030_A03": video(60, 2, False)[5:30],
        "0002-R_000005-000030_A03_2": video(60, 2, False)[5:30],  # labelled twice
        "0002-R_000005-000030_A07": video(60, 2, False)[5:30],
    }
    x_tmvc = video(60, 3)
    x_tmvc[10:20] = 0
    expected["0003-M_000000-000060_A51"] = x_tmvc
    assert store.names == list(expected) == sorted(store.names)
    for row, x_tmvc in enumerate(expected.values()):
        assert np.array_equal(store[row], x_tmvc)  # in the camera's coordinates
    assert store.labels.tolist() == [50, 2, 6, 2, 2, 6, 50] and store.table["camera"].tolist() == [1, 1, 1, 3, 3, 3, 2]
    assert store.table["bodies"].tolist() == [2, 2, 2, 1, 1, 1, 2]
    assert PHASES[1].actions[51] == store.class_names[50] and len(PHASES[1].actions) == 51
    dropped = yaml.safe_load((tmp_path / "clips/quality.json").read_text())["dropped"]
    assert [(entry["name"], entry["reason"]) for entry in dropped] == [
        ("0002-L_000500-000510_A07", "frames 500 to 510 are beyond the file's 400"),
        ("0003-M_000010-000020_A07", "no body in any frame"),
    ]


def test_centring_is_a_key(raw, tmp_path):
    plain, centred = make(raw, tmp_path / "plain"), make(raw, tmp_path / "centred", centre="first_frame_root")
    for row in range(len(plain)):
        present = plain[row].any(axis=(2, 3))
        origin = plain[row][present[:, 0].argmax(), 0, 1]
        assert (
            np.array_equal(centred[row][present], (plain[row] - origin)[present]) and not centred[row][~present].any()
        )


def test_same_bytes_from_two_processes(raw, tmp_path, monkeypatch):
    monkeypatch.setattr("stars.ingest.read.CHUNK", 1)
    make(raw, tmp_path / "one")
    make(raw, tmp_path / "two", workers=2)
    for file in ("frames.npy", "offsets.npy", "clips.csv", "quality.json"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        (
            "Train_Label_PKU_final/0002-L.txt",
            b"7,380,390,1\n3,20,2",
            r"line 2: expected action, start, end, confidence.*found '3,20,2'",
        ),
        ("Train_Label_PKU_final/0002-L.txt", b"7,380,380,1", "line 1: expected a start before the end, found 380, 380"),
        ("Train_Label_PKU_final/0002-L.txt", b"52,380,390,1", "action 52 is not among the data set's 51 actions"),
        ("Train_Label_PKU_final/0009-L.txt", b"7,1,2,1", "the video of these labels is not among the raw files"),
        ("Skeleton/0009-L.txt", b"0 " * 150, "0009-L.txt: no label file of that name"),
        ("Skeleton/0002-L.txt", b"0 " * 150 + b"\n" + b"0 " * 149, "line 2: expected a frame, 150 numbers, found 149"),
        ("Skeleton/0002-L.txt", b"0 " * 149 + b"nan\n", "line 1: expected coordinates in metres, found 'nan'"),
        ("Skeleton/0002-L.txt", b"0 " * 149 + b"1_0\n", "line 1: expected coordinates in metres, found '1_0'"),
        ("Skeleton/0002-L.txt", b"0 " * 150 + b"\n\n" + b"0 " * 150, "line 2: expected a frame, 150 numbers, found 0"),
        ("Skeleton/0002-L.txt", b"\n", "line 1: expected a frame, 150 numbers, found an empty file"),
    ],
)
def test_bad_files_are_named(raw, tmp_path, name, data, message):
    (raw / name).write_bytes(data)
    with pytest.raises(InputError, match=message):
        make(raw, tmp_path / "clips")


@pytest.mark.parametrize(
    ("phase", "file"),
    [(1, "cross-subject.txt"), (1, "cross_subject.txt"), (2, "cross-subject-v2.txt"), (2, "cross_subject_v2.txt")],
)
def test_split_by_list(raw, tmp_path, phase, file):
    make(raw, tmp_path / "clips", phase, on_bad_file="skip")
    stage = SplitStage(name="xsub", split=PHASES[phase].splits["xsub"])
    with pytest.raises(InputError, match="expected one file cross_subject"):
        split(tmp_path / "clips", tmp_path, stage, raw)
    (raw / "Split").mkdir()
    (raw / "Split" / file).write_text("Training videos: \n0002-L, 0003-M, 9999-R, \nValidataion videos:\n0002-R, \n")
    split(tmp_path / "clips", tmp_path, stage, raw)
    assert np.load(tmp_path / "xsub_train.npy").tolist() == [0, 1, 2, 6] and np.load(
        tmp_path / "xsub_test.npy"
    ).tolist() == [3, 4, 5]
    with pytest.raises(InputError, match="--raw"):
        split(tmp_path / "clips", tmp_path, stage)


def test_a_bad_list_is_named():
    for data in (
        b"",
        b"Training videos:\n",
        b"Training videos:\n, ,\n",
        b"Training videos:\n0002-L; 0003-M\n",
        b"\xff\xfe\n\x00\xff\n",
    ):
        with pytest.raises(InputError, match=r"cross\.txt, line 2: expected the training videos' names"):
            training_list(data, "cross.txt")


@settings(max_examples=150)
@given(
    st.binary(max_size=400)
    | st.lists(st.sampled_from([b"1", b"7,1,20,2", b"\n", b" ", b"-1e3", b"nan", b",", b"\x00", b"0 " * 150])).map(
        b"".join
    )
)
def test_any_bytes_give_joints_or_the_readers_own_error(data):
    for read in (
        lambda: pku.read(data, "0002-L.txt", LAYOUT),
        lambda: pku.segments(data, "0002-L.txt"),
        lambda: training_list(data, "x.txt"),
    ):
        try:
            read()
        except InputError as error:
            assert "\n" not in str(error) and "expected" in str(error)
