"""Every layout that the simulator writes: written and ingested, the joints are the same, and the splits and numbers
too.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
import yaml

from stars import cli
from stars.config import Ingest, Simulate
from stars.data.dataset import Dataset
from stars.data.simulate import files, plan, recordings, simulate
from stars.data.simulate import kinematics as k
from stars.data.simulate.layouts import Recording
from stars.data.simulate.stage import SimulateStage
from stars.data.splits import SplitStage, split
from stars.data.store import ClipStore
from stars.errors import InputError
from stars.ingest import IngestStage, ingest

ROOT = Path(__file__).resolve().parents[1]
OWN = {
    "title": "Own", "home": "here", "reader": "folder", "bodies": 2, "root": 1,
    "joints": ["head", "spine", "left hand", "right hand"], "parents": [1, 1, 1, 1],
    "actions": {1: "wave", 2: "beckon", 5: "push", 16: "shake hands", 90: "sleep"},
    "splits": {"xsub": {"title": "XSub", "by": "subject", "train": [1]}},
}  # fmt: skip
# what sorts recordings as the names of their clips do
ORDER = {
    "demo": lambda p, camera: (p.setup, camera, p.subject, p.replication, p.action),
    "pku1": lambda p, camera: (p.setup, p.subject, p.replication, "MLR"[camera - 1], p.action),
    "pku2": lambda p, camera: (p.setup, p.subject, p.replication, "MLR"[camera - 1], p.action),
    "nw_ucla": lambda p, camera: (p.action, p.subject, p.replication, camera),
    "utd_mhad": lambda p, camera: (p.action, p.subject, p.replication),
    "own": lambda p, camera: (p.setup, p.subject, p.action, p.replication, camera),
}
KEEPS_EMPTY_FRAMES = ("pku1", "pku2", "own")
SIX_DECIMALS = ("demo", "pku1", "pku2", "nw_ucla")


def described(name: str) -> Dataset:
    return Dataset(**(OWN if name == "own" else yaml.safe_load((ROOT / f"config/datasets/{name}.yaml").read_text())))


def stage(name: str, **settings) -> SimulateStage:
    small = {
        "actions": 8,
        "subjects": 3,
        "setups": 2,
        "clips": 60,
        "frames": (20, 30),
        "ghosts": 0.2,
        "switches": 0,
        "dropped": 0.5,
    }
    return SimulateStage.of(described(name), Simulate(**{**small, **settings}))


def filmed(told: SimulateStage) -> list[Recording]:
    return list(recordings(told, plan(told)))


def ingested(told: SimulateStage, name: str, folder: Path) -> ClipStore:
    simulate(folder / "raw.zip", told)
    ingest(folder / "raw.zip", folder / "clips", IngestStage.of(name, described(name), Ingest(centre="none")))
    return ClipStore.open(folder / "clips")


def acted(recording: Recording, told: SimulateStage, name: str) -> np.ndarray:
    """What must come back: (T, M, V, 3) float32 with the decimals and frames of the layout."""
    x_tmvc = recording.joints(told)
    x_tmvc = x_tmvc if name in KEEPS_EMPTY_FRAMES else x_tmvc[x_tmvc.any(axis=(1, 2, 3))]
    return (np.round(x_tmvc, 6) if name in SIX_DECIMALS else x_tmvc).astype(np.float32)


def bodies(x_tmvc: np.ndarray) -> list[bytes]:
    """Denoising orders the bodies of an NTU clip by their motion."""
    return sorted(x_tmvc[:, body].tobytes() for body in range(x_tmvc.shape[1]))


@pytest.mark.parametrize("name", ORDER)
def test_what_is_written_comes_back(tmp_path, name):
    told = stage(name, ghosts=0 if name == "demo" else 0.2)
    store = ingested(told, name, tmp_path)
    expected = sorted(filmed(told), key=lambda shot: ORDER[name](shot.performance, shot.camera))
    assert len(store) == len(expected) > 20
    for row, shot in enumerate(expected):
        here, there = store[row], acted(shot, told, name)
        assert np.array_equal(here, there) or (name == "demo" and bodies(here) == bodies(there)), store.names[row]
        facts, columns = store.table.iloc[row], ("setup", "subject", "replication", "camera")
        assert facts["action"] == shot.performance.action
        if name not in ("pku1", "pku2"):  # whose names say less
            assert facts[list(columns)].tolist() == [*shot.performance[:3], shot.camera]
    assert {shot.people for shot in expected} == ({1, 2} if told.dataset.bodies == 2 else {1})


@pytest.mark.parametrize("name", ORDER)
def test_same_seed_same_bytes(tmp_path, name):
    for path, told in (
        ("a.zip", stage(name)),
        ("b.zip", stage(name)),
        ("c.zip", stage(name, seed=1)),
        ("d", stage(name)),
    ):
        simulate(tmp_path / path, told)
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes() != (tmp_path / "c.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        whole = {
            path.relative_to(tmp_path / "d").as_posix(): path.read_bytes()
            for path in (tmp_path / "d").rglob("*")
            if path.is_file()
        }
        assert {file: archive.read(file) for file in archive.namelist()} == whole


def test_a_description_bounds_what_is_acted():
    def acts(name: str, **settings) -> tuple[set[int], set[int], set[int], set[int]]:
        shots = filmed(stage(name, actions=20, subjects=12, clips=None, frames=(5, 6), dropped=0, **settings))
        numbers = [
            (shot.performance.action, shot.performance.subject, shot.performance.setup, shot.camera) for shot in shots
        ]
        return tuple(set(column) for column in zip(*numbers, strict=True))

    assert acts("nw_ucla") == ({1, 2, 3, 4, 5, 6, 8, 9, 11, 12}, set(range(1, 11)), {1}, {1, 2, 3})
    assert acts("utd_mhad", repetitions=1) == ({*range(1, 16), *range(21, 26)}, set(range(1, 9)), {1}, {1})
    assert acts("own", repetitions=1) == ({1, 2, 5, 16}, set(range(1, 13)), {1, 2}, {1, 2, 3})
    odd = described("own").model_copy(update={"joints": ("head", "spine", "left ear", "tail")})
    with pytest.raises(
        InputError, match="the simulator has no joint 'left ear': use Kinect's joints, spine base, spine middle"
    ):
        list(files(SimulateStage.of(odd, Simulate()), plan(stage("own"))))
    with pytest.raises(InputError, match="the simulator can act actions 1 to 50, but"):
        plan(SimulateStage.of(described("own").model_copy(update={"actions": {90: "sleep"}}), Simulate()))


def test_kinect_v1_joints_are_those_of_v2():
    for name in ("utd_mhad", "nw_ucla"):
        dataset, order = described(name), stage(name).order
        assert len(set(order)) == 20 and not {k.NECK, 21, 22, 23, 24} & set(order)
        assert {(min(pair), max(pair)) for pair in k.LEFT_RIGHT} >= {
            (order[left], order[right]) for left, right in dataset.mirror
        }
        people = filmed(stage(name, noise=0, occlusion=0))[0].seen(stage(name))[0]
        up = {joint: people[index, 1] for index, joint in enumerate(dataset.joints)}
        assert up["head"] > up["shoulder centre"] > up["spine"] > up["hip centre"] > up["left knee"] > up["left ankle"]


@pytest.mark.parametrize("name", ["pku1", "pku2"])
def test_videos_have_lists_for_every_split(tmp_path, name):
    told = stage(name, clips=None)
    store = ingested(told, name, tmp_path)
    shots = sorted(filmed(told), key=lambda shot: ORDER[name](shot.performance, shot.camera))
    for which, described_split in described(name).splits.items():
        split(
            tmp_path / "clips", tmp_path / "splits", SplitStage(name=which, split=described_split), tmp_path / "raw.zip"
        )
        rows = np.load(tmp_path / f"splits/{which}_train.npy")
        wanted = [
            shot.performance.subject % 2 == 1 if which == "xsub" else "MLR"[shot.camera - 1] in "MR" for shot in shots
        ]
        assert rows.tolist() == np.flatnonzero(wanted).tolist() and 0 < len(rows) < len(store)


def test_the_command_takes_the_layout_from_the_configuration(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    config = tmp_path / "config.yaml"
    block = {
        "dataset": "nw_ucla",
        "splits": ["xview"],
        "simulate": {"actions": 4, "subjects": 2, "repetitions": 1, "frames": [10, 12]},
    }
    config.write_text(yaml.safe_dump({"data": {"small": block}}))
    assert cli.main(["simulate", "--out", str(tmp_path / "raw"), "--config", str(config)]) == 0
    assert (
        cli.main(["ingest", "--raw", str(tmp_path / "raw"), "--out", str(tmp_path / "clips"), "--config", str(config)])
        == 0
    )
    assert ClipStore.open(tmp_path / "clips").names[:2] == ["a01_s01_e00_v01", "a01_s01_e00_v02"]
