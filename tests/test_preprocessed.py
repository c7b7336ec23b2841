"""Data sets that other code has preprocessed: the same clips as from raw files, the file's own split, nothing that
runs, one line for what is bad.
"""

from __future__ import annotations

import codecs
import io
import json
import os
import pickle
import pickletools
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from stars import cli
from stars.config import Ingest, Simulate
from stars.data.dataset import FOLDER, Dataset, Split
from stars.data.preprocessed import pickles
from stars.data.simulate import plan
from stars.data.simulate.stage import SimulateStage
from stars.data.splits import SplitStage, split
from stars.data.store import ClipStore, read_table
from stars.errors import InputError
from stars.ingest import IngestStage, ingest, join
from stars.inspect.content import counts, known_numbers

PARITY = Path(os.environ.get("STARS_PARITY_DIR", Path(__file__).parent / "data/parity"))
DATASETS = {
    name: Dataset(**yaml.safe_load((FOLDER / f"{name}.yaml").read_text()))
    for name in ("ntu60", "ntu120", "pku2", "nw_ucla")
}


def read(
    raw: Path, out: Path, name: str = "ntu60", workers: int = 1, described: Dataset | None = None, **keys: object
) -> ClipStore:
    ingest(raw, out, IngestStage.of(name, described or DATASETS[name], Ingest(**keys)), workers)
    return ClipStore.open(out)


def same_clips(store: ClipStore, other: ClipStore, order: list[int] | None = None) -> bool:
    """Whether clip i of one is clip order[i] of the other, to the last bit, with its class and number of people."""
    order = list(range(len(other))) if order is None else order
    columns = ["action", "frames", "bodies", "label", "action_name"]
    facts = store.table[columns].equals(other.table[columns].iloc[order].reset_index(drop=True))
    return (
        len(store) == len(order)
        and facts
        and all(store[i].tobytes() == other[j].tobytes() for i, j in enumerate(order))
    )


def one_hot(labels: list[int], classes: int) -> np.ndarray:
    return np.eye(classes)[labels]


def side_arrays(
    x: np.ndarray, labels: list[int], train: list[int], test: list[int], classes: int
) -> dict[str, np.ndarray]:
    return {
        "x_train": x[train], "y_train": one_hot([labels[row] for row in train], classes),
        "x_test": x[test], "y_test": one_hot([labels[row] for row in test], classes),
    }  # fmt: skip


def parity() -> tuple[dict[str, np.ndarray], list[int]]:
    """What the public recipe makes of the raw files in ntu_denoise_raw, and their classes."""
    with np.load(PARITY / "ntu_denoise.npz") as file:
        return dict(file), [int(name[-3:]) - 1 for name in file["names"]]


@pytest.mark.parametrize("name", ["ntu60", "ntu120"])
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_an_npz_of_the_public_recipe_equals_the_store_of_the_raw_files(tmp_path, stores, name, save):
    made, labels = parity()
    raw = stores[name]
    # as the recipe does: not in order of names
    test, train = [5, 0, 9], [row for row in (14, *range(14)) if row not in (5, 0, 9)]
    save(tmp_path / "NTU.npz", **side_arrays(made[name], labels, train, test, len(DATASETS[name].actions)))
    store = read(tmp_path / "NTU.npz", tmp_path / "npz", name, workers=2)
    assert same_clips(store, raw, [raw.names.index(made["names"][row]) for row in (*test, *train)])
    assert store.names == [*(f"test_{row:06}" for row in range(3)), *(f"train_{row:06}" for row in range(12))]
    assert (
        store.table["source"][4] == "NTU.npz/x_train/1"
        and store.table["sides"].tolist() == ["test"] * 3 + ["train"] * 12
    )
    assert not store.table[["subject", "camera", "setup", "replication"]].to_numpy().any()
    quality = json.loads((tmp_path / "npz/quality.json").read_text())
    assert (quality["read"], quality["kept"], quality["complete"]["absent"]) == (15, 15, [])


@pytest.fixture(scope="module")
def stores(tmp_path_factory) -> dict[str, ClipStore]:
    """The stores of the raw files, denoised, as NTU-60 and as NTU-120, which holds a single body twice."""
    folder = tmp_path_factory.mktemp("stores")
    return {name: read(PARITY / "ntu_denoise_raw", folder / name, name) for name in ("ntu60", "ntu120")}


def annotations(store: ClipStore, dtype: str) -> list[dict]:
    found = []
    for row, name in enumerate(store.names):
        x_tmvc = np.array(store[row], dtype)
        # one person, whom NTU-120's store has twice
        x_tmvc = x_tmvc[:, :1] if np.array_equal(x_tmvc[:, 0], x_tmvc[:, 1]) else x_tmvc
        label = int(store.labels[row])
        found.append(
            {"frame_dir": name, "label": label, "keypoint": np.moveaxis(x_tmvc, 1, 0), "total_frames": len(x_tmvc)}
        )
    return found


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("dtype", ["<f4", "<f2"])
def test_a_pkl_of_pyskl_gives_the_clips_by_their_names(tmp_path, stores, protocol, dtype):
    raw = stores["ntu120"]
    held, names = annotations(raw, dtype), raw.names
    held[0]["label"] = np.int64(held[0]["label"])
    held[1]["keypoint"] = np.asfortranarray(held[1]["keypoint"])
    value = {"split": {"xsub_train": names[3:], "xsub_val": names[:3], "xset_train": names}, "annotations": held[::-1]}
    (tmp_path / "ntu.pkl").write_bytes(pickle.dumps(value, protocol))
    store = read(tmp_path / "ntu.pkl", tmp_path / "pkl", "ntu120", centre="none")
    assert store.names == names and store.table["sides"][[0, 3]].tolist() == [
        "xsub_test xset_train",
        "xsub_train xset_train",
    ]
    columns = ["action", "subject", "camera", "setup", "replication", "frames", "bodies", "label"]
    assert store.table[columns].equals(raw.table[columns])
    assert np.array_equal(store.frames, raw.frames.astype(dtype).astype(np.float32))
    again = read(tmp_path / "ntu.pkl", tmp_path / "two", "ntu120", workers=2, centre="none")
    assert (tmp_path / "two/clips.csv").read_bytes() == (tmp_path / "pkl/clips.csv").read_bytes() and np.array_equal(
        again.frames, store.frames
    )


def sides_of_arrays(folder: Path, store: ClipStore, kind: str, rows: dict[str, list[int]], names: bool = True) -> Path:
    """The arrays that ST-GCN's code and its heirs make, (N, 3, T, V, M) padded with zeros."""
    folder.mkdir(parents=True)
    for word, chosen in rows.items():
        x_nctvm = np.zeros((len(chosen), 3, 300, store.joints, 2), np.float32)
        for index, row in enumerate(chosen):
            x_nctvm[index, :, : store.lengths[row]] = store[row].transpose(3, 0, 2, 1)
        np.save(folder / f"{word}_{kind}.npy", x_nctvm)
        labels = [int(store.labels[row]) for row in chosen]
        if names:
            (folder / f"{word}_label.pkl").write_bytes(
                pickle.dumps(([f"{store.names[row]}.skeleton" for row in chosen], labels))
            )
        else:
            np.save(folder / f"{word}_label.npy", np.array(labels)[:, None])
    return folder


@pytest.mark.parametrize("kind", ["data", "data_joint", "position"])
def test_arrays_with_label_files_give_the_clips_by_their_names(tmp_path, stores, kind):
    raw = stores["ntu60"]
    folder = sides_of_arrays(
        tmp_path / "xsub", raw, kind, {"train": [9, 2, *range(3, 9)], "val": [0, 1, *range(10, 15)]}
    )
    np.save(folder / "train_data_bone.npy", np.zeros(3))  # beside them, and passed over
    store = read(folder, tmp_path / "npy", workers=2)
    assert (
        store.names == raw.names and same_clips(store, raw) and store.table["source"][2] == f"xsub/train_{kind}.npy/1"
    )
    assert store.table["subject"].tolist() == raw.table["subject"].tolist() and store.table["sides"][0] == "test"


def test_arrays_of_labels_alone_have_the_sides_of_their_files(tmp_path, stores):
    raw = stores["ntu60"]
    folder = sides_of_arrays(tmp_path / "xview", raw, "position", {"train": [2, 1, 0], "val": [14, 3]}, names=False)
    store = read(folder, tmp_path / "npy")
    assert store.names == ["test_000000", "test_000001", "train_000000", "train_000001", "train_000002"]
    assert same_clips(store, raw, [14, 3, 2, 1, 0])


def test_pku_mmd_as_mamp_and_aimclr_have_it(tmp_path):
    """Coordinates stay the camera's; clips without names or with names of their own; the split is the file's."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(6, 300, 150)).astype(np.float32)
    for row, frames in enumerate((300, 7, 40, 40, 40, 1)):
        x[row, frames:] = 0
    x[2, :, 75:] = 0
    labels = [0, 1, 2, 0, 1, 2]
    np.savez(tmp_path / "PKUv2_XSub.npz", **side_arrays(x, labels, [0, 1, 2], [3, 4, 5], 51))
    store = read(tmp_path / "PKUv2_XSub.npz", tmp_path / "npz", "pku2")
    for row, at in enumerate([3, 4, 5, 0, 1, 2]):
        frames = store.lengths[row]
        assert np.array_equal(store[row].reshape(frames, 150), x[at, :frames]) and not x[at, frames:].any()
    assert store.table["bodies"].tolist() == [2, 2, 2, 2, 2, 1]
    stage = SplitStage(name="xsub", split=DATASETS["pku2"].splits["xsub"].model_copy(update={"counts": None}))
    split(tmp_path / "npz", tmp_path, stage)
    assert np.load(tmp_path / "xsub_train.npy").tolist() == [3, 4, 5] and np.load(
        tmp_path / "xsub_test.npy"
    ).tolist() == [0, 1, 2]
    x_nctvm = x.reshape(6, 300, 2, 25, 3).transpose(0, 4, 1, 3, 2)
    folder = tmp_path / "pku_part2/xsub"
    folder.mkdir(parents=True)
    for word, rows in (("train", [0, 1, 2]), ("val", [3, 4, 5])):
        names = [f"A001N00{row + 1}V00{row % 3 + 1}C00{labels[row] + 1}L001.skeleton" for row in rows]
        np.save(folder / f"{word}_data.npy", x_nctvm[rows])
        (folder / f"{word}_label.pkl").write_bytes(pickle.dumps((names, [labels[row] for row in rows])))
    arrays = read(folder, tmp_path / "npy", "pku2")
    assert same_clips(arrays, store, [3, 4, 5, 0, 1, 2]) and arrays.table["camera"].tolist() == [1, 2, 3, 1, 2, 3]
    split(tmp_path / "npy", tmp_path, stage)
    assert np.load(tmp_path / "xsub_test.npy").tolist() == [3, 4, 5]


def test_settings_of_ingest_hold_for_preprocessed_clips_too(tmp_path):
    made, labels = parity()
    for name in ("ntu60", "ntu120"):
        np.savez(
            tmp_path / f"{name}.npz", **side_arrays(made[name], labels, [0, 1, 2], [3, 8], len(DATASETS[name].actions))
        )
    copied = read(tmp_path / "ntu60.npz", tmp_path / "a", single_body="copy", max_frames=30)
    single = copied.table["bodies"] == 1
    assert single.sum() == 3 and all(
        np.array_equal(copied[row][:, 0], copied[row][:, 1]) == single[row] for row in range(5)
    )
    assert copied.lengths.tolist() == [30] * 5
    zeros = read(tmp_path / "ntu120.npz", tmp_path / "b", "ntu120", single_body="zeros", bodies=1, joints="common")
    assert zeros.frames.shape[1:] == (1, 16, 3) and zeros.table["bodies"].tolist() == [1] * 5


def npz(tmp_path: Path, name: str = "NTU60_CS.npz", **changes: object) -> Path:
    """A small file of that layout, six clips a side in three classes."""
    x = np.random.default_rng(0).normal(size=(6, 12, 150)).astype(np.float32)
    arrays = side_arrays(x, [0, 1, 2, 0, 1, 2], list(range(6)), list(range(6)), 60) | changes
    np.savez(tmp_path / name, **{key: value for key, value in arrays.items() if value is not None})
    return tmp_path / name


def stage(name: str, data: str = "ntu60") -> SplitStage:
    return SplitStage(name=name, split=DATASETS[data].splits[name].model_copy(update={"counts": None}))


def test_the_split_of_unnamed_clips_is_the_files_own_and_no_other(tmp_path, capsys):
    read(npz(tmp_path), tmp_path / "clips")
    split(tmp_path / "clips", tmp_path, stage("xsub"))
    assert np.load(tmp_path / "xsub_train.npy").tolist() == list(range(6, 12))
    assert (
        "split xsub is by subject, but the raw files do not give a clip's subject: the file's own split is used"
        in capsys.readouterr().err
    )
    with pytest.raises(
        InputError,
        match="split xview is by camera, but the raw files do not give a clip's camera, and they include split xsub",
    ):
        split(tmp_path / "clips", tmp_path, stage("xview"))
    (tmp_path / "NTU60_CS.npz").rename(tmp_path / "mine.npz")
    read(tmp_path / "mine.npz", tmp_path / "clips")
    split(tmp_path / "clips", tmp_path, stage("xview"))  # whoever lists it says that it is
    assert np.load(tmp_path / "xview_test.npy").tolist() == list(range(6))


def test_numbers_of_ones_own_may_begin_at_0(tmp_path):
    read(npz(tmp_path), tmp_path / "clips")
    table = read_table(tmp_path / "clips/clips.csv").drop(columns="sides").assign(subject=[0, 1] * 6)
    (tmp_path / "clips/clips.csv").write_text(table.to_csv(index=False))
    split(tmp_path / "clips", tmp_path, SplitStage(name="own", split=Split(title="Own", by="subject", train=(0,))))
    assert np.load(tmp_path / "own_train.npy").tolist() == [0, 2, 4, 6, 8, 10]


def test_what_is_unknown_is_called_so(tmp_path):
    store = read(npz(tmp_path), tmp_path / "clips")
    assert counts(store, DATASETS["ntu60"])["single"] == "Subject unknown, camera unknown, setup unknown"
    assert known_numbers(store.table.iloc[0]) == [] and known_numbers(store.table.assign(camera=2).iloc[0]) == [
        "camera 2"
    ]
    with pytest.raises(InputError, match="the simulator writes raw files, not npz: set raw"):
        plan(SimulateStage.of(DATASETS["ntu60"].model_copy(update={"reader": "npz"}), Simulate()))


def test_a_pkl_without_names_of_ntu_has_the_splits_that_it_lists(tmp_path):
    held = [
        {"frame_dir": f"v{row}", "label": row % 3, "keypoint": np.ones((1, 5, 25, 3), np.float16) * row}
        for row in range(1, 7)
    ]
    names = [one["frame_dir"] for one in held]
    value = {"split": {"xsub_train": names[:3], "xsub_val": names[3:]}, "annotations": held}
    (tmp_path / "own.pkl").write_bytes(pickle.dumps(value))
    read(tmp_path / "own.pkl", tmp_path / "clips", centre="none")
    split(tmp_path / "clips", tmp_path, stage("xsub"))
    assert np.load(tmp_path / "xsub_test.npy").tolist() == [3, 4, 5]
    with pytest.raises(InputError, match="they include split xsub"):
        split(tmp_path / "clips", tmp_path, stage("xview"))
    value["split"] = {}
    (tmp_path / "own.pkl").write_bytes(pickle.dumps(value))
    read(tmp_path / "own.pkl", tmp_path / "clips", centre="none")
    with pytest.raises(InputError, match="do not give a clip's subject: choose another split"):
        split(tmp_path / "clips", tmp_path, stage("xsub"))


def test_setups_are_read_side_by_side(tmp_path, capsys):
    listed = tmp_path / "missing.txt"
    listed.write_text("S001C001P001R001A001")
    whole = read(npz(tmp_path), tmp_path / "whole", missing_list=str(listed))
    assert "ingest.missing_list is not used" in capsys.readouterr().err
    told = IngestStage.of("ntu60", DATASETS["ntu60"], Ingest())
    for setup in (1, 2):
        ingest(tmp_path / "NTU60_CS.npz", tmp_path / f"parts/{setup}", told, setup=setup)
    join([tmp_path / "parts/1", tmp_path / "parts/2"], tmp_path / "NTU60_CS.npz", tmp_path / "joined", told)
    for file in ("clips.csv", "quality.json"):
        assert (tmp_path / "joined" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes()
    assert same_clips(ClipStore.open(tmp_path / "joined"), whole)


def test_raw_files_come_before_what_lies_beside_them(tmp_path):
    folder = npz(tmp_path).parent
    name = "S001C001P001R001A001.skeleton"
    (folder / name).write_bytes((PARITY / "ntu_denoise_raw" / name).read_bytes())
    assert read(folder, tmp_path / "clips").names == ["S001C001P001R001A001"]
    forced = DATASETS["ntu60"].model_copy(update={"reader": "npz"})
    assert len(read(folder, tmp_path / "clips", described=forced)) == 12


X = np.ones((6, 12, 150), np.float32)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x_test": None}, "expected x_train, y_train, x_test and y_test, found x_train.npy, y_test.npy, y_train.npy"),
        ({"x_train": X[:, :, :99]}, r"NTU60_CS.npz/x_train: expected \(clips, frames, bodies · 25 joints · 3\), row by row, found shape \(6, 12, 99\)"),
        ({"x_train": X[0]}, "x_train: expected .*, found shape"),
        ({"x_train": np.asfortranarray(X)}, "found shape .* order F"),
        ({"x_train": X[:5]}, r"y_train: expected \(5 clips, classes\), found shape \(6, 60\)"),
        ({"x_train": X * np.nan}, "x_train/0: expected coordinates in metres, found another value in frame 1"),
        ({"x_train": np.array([object()] * 6)}, "x_train: expected an array of numbers"),
        ({"x_train": X[:0], "y_train": np.zeros((0, 60))}, "expected an array with numbers in it"),
        ({"y_train": np.zeros((6, 60))}, "y_train: expected a single 1 in each row, found another in row 1"),
        ({"y_train": np.ones((6, 60))}, "y_train: expected a single 1 in each row"),
        ({"y_train": np.arange(6)}, "y_train: expected .6 clips, classes"),
        ({"y_train": one_hot([0, 1, 2, 0, 1, 77], 120)}, "x_train/5: expected a label from 0 to 59, since the description has 60 actions, found 77"),
    ],
)  # fmt: skip
def test_a_bad_npz_gets_one_line(tmp_path, changes, message):
    with pytest.raises(InputError, match=message) as error:
        read(npz(tmp_path, **changes), tmp_path / "clips")
    assert "\n" not in str(error.value) or "files cannot be used" in str(error.value)


def test_a_damaged_npz_is_refused_whole(tmp_path):
    path = npz(tmp_path)
    data = bytearray(path.read_bytes())
    data[2000] ^= 1  # a digit of a coordinate, far from the end
    path.write_bytes(data)
    with pytest.raises(
        InputError, match=r"NTU60_CS.npz: cannot be read \(Bad CRC-32 for file 'x_train.npy'\): download it again"
    ):
        read(path, tmp_path / "clips", on_bad_file="skip")
    path.write_bytes(data[:5000])
    with pytest.raises(InputError, match=r"NTU60_CS\.npz is not a readable zip archive"):
        read(path, tmp_path / "clips")


def test_what_lies_there_must_be_one_data_set_in_reach(tmp_path):
    folder = tmp_path / "ntu"
    folder.mkdir()
    npz(folder), npz(folder, "NTU60_CV.npz")
    with pytest.raises(InputError, match=r"contains NTU60_CS.npz and NTU60_CV.npz: set data.ntu60.raw to one of them"):
        read(folder, tmp_path / "clips")
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.write(folder / "NTU60_CS.npz", "NTU60_CS.npz")
    with pytest.raises(InputError, match=r"NTU60_CS\.npz is inside an archive: extract it"):
        read(tmp_path / "all.zip", tmp_path / "clips")
    (tmp_path / "some.npy").write_bytes(b"")
    with pytest.raises(InputError, match=r"some\.npy: name its folder, which also contains the labels"):
        read(tmp_path / "some.npy", tmp_path / "clips")
    (tmp_path / "empty").mkdir()
    for kind in ("npz", "pyskl", "npy"):
        with pytest.raises(InputError, match=r"expected a .*, found none: set data.ntu60.raw to its path"):
            read(
                tmp_path / "empty", tmp_path / "clips", described=DATASETS["ntu60"].model_copy(update={"reader": kind})
            )


def pyskl(**changes: object) -> dict[str, object]:
    one = {"frame_dir": "a", "label": 0, "keypoint": np.ones((1, 4, 25, 3), np.float32)} | changes
    return {"split": {"xsub_train": ["a"]}, "annotations": [one]}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([1, 2], "own.pkl: expected a dict with split and annotations, found a list"),
        ({"split": {}, "annotations": 3}, "expected a dict with split and annotations"),
        ({"split": {"x": []}, "annotations": []}, "expected splits like xsub_train and xsub_val, each a list of names"),
        (pyskl(label="a"), "annotations/0: expected a dict with frame_dir, label and keypoint"),
        (pyskl(keypoint=np.ones((1, 4, 17, 2), np.float32)), r"expected keypoint of \(bodies, frames, 25 joints, 3\), found shape \(1, 4, 17, 2\)"),
        (pyskl(keypoint=np.array([object()])), "expected a pickle of numbers, strings, lists, dicts and arrays only, found an array of something"),
        (pyskl(label=60), "expected a label from 0 to 59"),
        (pyskl(frame_dir="S001C001P001R001A009"), "expected the label of action 9, as its name S001C001P001R001A009 says, found 0"),
        (pyskl(keypoint=np.full((1, 4, 25, 3), np.inf)), "expected coordinates in metres"),
    ],
)  # fmt: skip
def test_a_bad_pkl_gets_one_line(tmp_path, value, message):
    (tmp_path / "own.pkl").write_bytes(pickle.dumps(value))
    with pytest.raises(InputError, match=message) as error:
        read(tmp_path / "own.pkl", tmp_path / "clips")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("file", "value", "message"),
    [
        ("train_data.npy", np.ones((2, 3, 5, 20, 2)), r"train_data.npy: expected \(clips, 3, frames, 25 joints, bodies\), row by row"),
        ("train_data.npy", np.ones((3, 3, 5, 25, 2)), "train_label.pkl: expected 3 clips, as in the array beside it, found 2 names, 2 labels"),
        ("train_data.npy", b"\x93NUMPY", "train_data.npy: expected a .npy file"),
        ("train_label.pkl", (["a", "b"], [0, "x"]), "train_label.pkl: expected a list of whole numbers as labels"),
        ("train_label.pkl", (["a", 1], [0, 0]), "train_label.pkl: expected a list of names"),
        ("train_label.pkl", ["a"], "train_label.pkl: expected names and labels"),
        ("train_label.pkl", (["a", "b"], [0, 99]), "expected a label from 0 to 59"),
        ("train_label.pkl", b"\x80\x04K", "train_label.pkl: expected a whole pickle of protocol 2 to 5"),
    ],
)  # fmt: skip
def test_bad_arrays_and_labels_get_one_line(tmp_path, file, value, message):
    folder = tmp_path / "xsub"
    folder.mkdir()
    for word in ("train", "val"):
        np.save(folder / f"{word}_data.npy", np.ones((2, 3, 5, 25, 2)))
        (folder / f"{word}_label.pkl").write_bytes(pickle.dumps(([f"{word} a", f"{word} b"], [0, 1])))
    assert len(read(folder, tmp_path / "clips")) == 4
    if isinstance(value, np.ndarray):
        np.save(folder / file, value)
    else:
        (folder / file).write_bytes(value if isinstance(value, bytes) else pickle.dumps(value))
    with pytest.raises(InputError, match=message) as error:
        read(folder, tmp_path / "clips")
    assert "\n" not in str(error.value)


ROWS = {"xsub": ([0, 3, 4, 8, 9], [1, 2, *range(10, 15)]), "xview": ([*range(8)], [*range(8, 15)])}


def exported(store: ClipStore, folder: Path, kind: str, *options: str) -> list[Path]:
    """Files that the command writes of a store, with two splits beside it."""
    clips = Path(store.frames.filename).parent
    folder.mkdir(exist_ok=True)
    for name, (train, test) in ROWS.items():
        np.save(folder / f"{name}_train.npy", np.array(train)), np.save(folder / f"{name}_test.npy", np.array(test))
    arguments = [
        "export-clips",
        str(clips),
        "--splits",
        str(folder),
        "--out",
        str(folder / "out"),
        "--format",
        kind,
        *options,
    ]
    assert cli.main(arguments) == 0
    return sorted(path for path in (folder / "out").rglob("*") if path.is_file() and path.suffix != ".json")


@pytest.mark.parametrize("name", ["ntu60", "ntu120"])
def test_denoised_clips_go_out_and_come_back(tmp_path, stores, name, capsys):
    store = stores[name]
    paths = exported(store, tmp_path, "npz")
    assert [path.name for path in paths] == [f"{name}_xsub.npz", f"{name}_xview.npz"] and str(
        paths[0]
    ) in capsys.readouterr().out
    train, test = ROWS["xsub"]
    assert same_clips(read(paths[0], tmp_path / "npz", name), store, [*test, *train])
    with np.load(paths[0]) as held:
        assert (
            held["x_train"].shape == (5, 300, 150)
            and held["x_train"].dtype == np.float32
            and not held["x_train"][0, store.lengths[0] :].any()
        )
        assert held["y_test"].dtype == np.float64 and held["y_test"].shape == (7, len(DATASETS[name].actions))
    (path,) = exported(store, tmp_path / "b", "pyskl")
    again = read(path, tmp_path / "pkl", name)
    assert same_clips(again, store) and again.table["sides"][:2].tolist() == [
        "xsub_train xview_train",
        "xsub_test xview_train",
    ]
    assert again.table[["name", "subject", "camera"]].equals(store.table[["name", "subject", "camera"]])
    value = pickle.loads(path.read_bytes())
    assert value["split"]["xsub_val"] == [store.names[row] for row in test] and len(value["annotations"]) == 15
    assert value["annotations"][0]["keypoint"].shape == (1, 40, 25, 3) and value["annotations"][1][
        "keypoint"
    ].shape == (2, 40, 25, 3)
    assert (
        all(one["total_frames"] == one["keypoint"].shape[1] for one in value["annotations"])
        and b"numpy._core" not in path.read_bytes()
    )
    paths = exported(store, tmp_path / "c", "npy", "--split", "xsub")
    wanted = ["train_data_joint.npy", "train_label.pkl", "val_data_joint.npy", "val_label.pkl"]
    assert [path.name for path in paths] == wanted and {path.parent.name for path in paths} == {"xsub"}
    assert np.load(paths[2], mmap_mode="r").shape == (7, 3, 300, 25, 2)
    arrays = read(paths[0].parent, tmp_path / "npy", name)
    held = [
        row for row in sorted(train + test) if name == "ntu60" or store[row][:, 1].any()
    ]  # an absent second body is NTU-120's copy again
    assert [
        row for row in sorted(train + test) if arrays[sorted(train + test).index(row)].tobytes() == store[row].tobytes()
    ] == held


def test_what_cannot_be_exported_gets_one_line(tmp_path, capsys):
    clips, splits = read(npz(tmp_path), tmp_path / "clips"), tmp_path / "splits"
    splits.mkdir()
    told = ["export-clips", str(Path(clips.frames.filename).parent), "--format", "npz", "--out", str(tmp_path / "out")]
    assert cli.main(told) == 2
    assert (
        "splits contains no split: make one with `snakemake` or `stars split`, and name its folder with --splits"
        in capsys.readouterr().err
    )
    np.save(splits / "xsub_train.npy", [0]), np.save(splits / "xsub_test.npy", [1])
    assert cli.main([*told, "--split", "xset"]) == 2
    assert f"--split xset: not in {splits}: choose from xsub" in capsys.readouterr().err
    (tmp_path / "clips/record.json").write_text("{}")
    assert cli.main(told) == 2
    assert "record.json is not the record of a clip store: ingest again" in capsys.readouterr().err


LEAF = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False)
    | st.text(max_size=20)
    | st.binary(max_size=20)
)
PLAIN = st.deferred(
    lambda: (
        LEAF | st.lists(PLAIN, max_size=3) | st.dictionaries(st.text(max_size=5), PLAIN, max_size=3) | st.tuples(PLAIN)
    )
)


@settings(max_examples=60, deadline=None)
@given(PLAIN, st.integers(2, 5), st.booleans())
def test_plain_data_comes_back(value, protocol, short):
    data = pickle.dumps([value, value, codecs.encode("ä", "latin-1")], protocol)
    data = pickletools.optimize(data) if short else data
    assert pickles.load(io.BytesIO(data), "f") == [value, value, b"\xe4"]


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(["<f2", "<f4", ">f8", "i1", "<i8", "u2", "?"]),
    st.lists(st.integers(0, 40), max_size=3),
    st.integers(2, 5),
    st.booleans(),
)
def test_arrays_come_back(dtype, shape, protocol, fortran):
    x = np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(dtype)
    x = np.asfortranarray(x) if fortran else x
    file = io.BytesIO(pickle.dumps([x, "after"], protocol))
    found, after = pickles.load(file, "f")
    assert after == "after"
    if isinstance(found, pickles.Array):
        there = found.read(file, "f")
        assert there.dtype == x.dtype and np.array_equal(there, x)
    else:
        assert x.ndim == 0 and found == x[()]  # a number by itself


class Evil:
    def __init__(self, *call):
        self.call = call

    def __reduce__(self):
        return self.call


class Stateful:
    def __setstate__(self, state):
        print("executed")


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
@pytest.mark.parametrize(
    "evil",
    [
        Evil(os.system, ("echo executed",)),
        Evil(print, ("executed",)),
        Evil(eval, ("print('executed')",)),
        Evil(codecs.decode, ("rkrphgrq", "rot13")),
        Evil(codecs.encode, ("executed", "rot13")),
        Evil(np.load, ("executed",)),
        Stateful(),
        np.array([Evil(print, ("executed",))], object),
        {1, 2},
        Path("executed"),
    ],
)
def test_a_malicious_pickle_runs_nothing(tmp_path, capfd, evil, protocol):
    if isinstance(evil, Stateful):
        evil.executed = 1
    for value in (evil, {"split": {}, "annotations": [evil]}, ([evil], [0])):
        data = pickle.dumps(value, protocol)
        with pytest.raises(InputError, match=r"own\.pkl: expected a"):
            pickles.load(io.BytesIO(data), "own.pkl")
        (tmp_path / "own.pkl").write_bytes(data)
        with pytest.raises(InputError):
            read(tmp_path / "own.pkl", tmp_path / "clips")
    out = capfd.readouterr()
    assert "executed" not in out.out + out.err


BILLION = (10**9).to_bytes(8, "little")
BOMBS = {
    "bytes": b"\x80\x04\x8e" + BILLION + b"x.",
    "text": b"\x80\x04X" + BILLION[:4] + b"x.",
    "memo": b"\x80\x04Nr" + BILLION[:4] + b".",
    "number": b"\x80\x04\x8b" + BILLION[:4] + b"x.",
    "nested": b"\x80\x04N" + b"\x85" * 100_000 + b".",
    "nested keys": b"\x80\x04}N" + b"\x85" * 100_000 + b"Ns.",
    "laughs": (
        b"\x80\x04" + b"".join(b"](" + b"h%c" % (i - 1) * 9 + b"eq%c" % i if i else b"]q\0" for i in range(60)) + b"."
    ),
    "array": pickle.dumps(np.ones(3)).replace(b"K\x03\x85", b"J\xff\xff\xff\x7f\x85"),
}


@pytest.mark.parametrize("what", BOMBS)
def test_a_declared_size_allocates_nothing(what):
    file = io.BytesIO(BOMBS[what])
    tracemalloc.start()
    try:
        found = pickles.load(file, "f")
        if isinstance(found, pickles.Array):
            found.read(file, "f")
    except InputError as error:
        assert "\n" not in str(error)
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 30 * 2**20, peak
