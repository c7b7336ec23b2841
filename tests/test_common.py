"""The common joints: what each layout gives and loses, and an encoder that goes from one layout to another through
them.
"""

import json
import re

import numpy as np
import pytest
import yaml
from tiny import ROOT, messages, project, snakemake

from stars import cli
from stars.config import Ingest, Simulate
from stars.config.reading import merge, read_yaml
from stars.data import common_joints
from stars.data.dataset import Dataset
from stars.data.simulate import simulate
from stars.data.simulate.stage import SimulateStage
from stars.data.store import ClipStore
from stars.errors import InputError
from stars.ingest import IngestStage, ingest
from stars.pipeline import configuration
from stars.pipeline.descriptions import describe

SKELETONS = {path.stem: yaml.safe_load(path.read_text()) for path in sorted((ROOT / "config/skeletons").glob("*.yaml"))}
COUNTS = {"coco17": 17, "kinect_v1": 20, "kinect_v2": 25, "mediapipe33": 33, "smpl24": 24}


@pytest.mark.parametrize("name", COUNTS)
def test_every_skeleton_gives_all_common_joints(name):
    joints = SKELETONS[name]["joints"]
    assert len(joints) == len(set(joints)) == COUNTS[name]
    poses = np.random.default_rng(0).normal(size=(4, 2, len(joints), 3)).astype(np.float32)
    poses[1, 1] = 0
    found = common_joints.to_common(poses, joints)
    assert found.shape == (4, 2, 16, 3) and found.dtype == np.float32 and not found[1, 1].any()
    for place, joint in enumerate(common_joints.JOINTS):
        if joint in joints:
            assert np.array_equal(found[..., place, :], poses[..., joints.index(joint), :])
    # whatever it is called, it is in the middle of what it stands between
    for place, joint in enumerate(common_joints.JOINTS):
        if joint not in joints and name in ("coco17", "mediapipe33"):
            names = {"hip centre": "hip", "shoulder centre": "shoulder", "head": "ear"}.get(joint)
            of = [
                f"{side} {part}" for side in ("left", "right") for part in ([names] if names else ["hip", "shoulder"])
            ]
            expected = sum(poses[..., joints.index(one), :] for one in of) / len(of)
            assert np.allclose(found[..., place, :], expected, atol=1e-6)


@pytest.mark.parametrize("name", COUNTS)
def test_its_tree_and_pairs_are_those_of_a_body(name):
    given = SKELETONS[name]
    joints, parents = given["joints"], given["parents"]
    for joint in range(len(joints)):
        at, seen = joint, []
        while parents[at] != at:
            assert at not in seen
            seen.append(at)
            at = parents[at]
        assert at == given["root"]
    assert all(joints[left].replace("left", "right") == joints[right] for left, right in given["mirror"])
    assert len(given["mirror"]) == sum("left" in joint for joint in joints)


def test_the_common_tree_is_a_body_s():
    assert (
        common_joints.PARENTS[common_joints.ROOT] == common_joints.ROOT
        and len(common_joints.JOINTS) == 16
        and len(common_joints.MIRROR) == 6
    )
    chain = ["left wrist"]
    while chain[-1] != "spine":
        chain.append(common_joints.JOINTS[common_joints.PARENTS[common_joints.JOINTS.index(chain[-1])]])
    assert chain == ["left wrist", "left elbow", "left shoulder", "shoulder centre", "spine"]


def test_the_page_states_the_loss_of_every_skeleton():
    page = (ROOT / "docs/skeletons.md").read_text()
    rows = dict(re.findall(r"^\| `(\w+)` \| (.+?) \|$", page, re.MULTILINE))
    assert {name: common_joints.loss(SKELETONS[name]["joints"]) for name in COUNTS} == {
        name: rows[name] for name in COUNTS
    }


def test_a_description_names_a_skeleton(tmp_path):
    given = {
        "title": "A",
        "home": "here",
        "reader": "folder",
        "actions": {1: "wave"},
        "splits": {"xsub": {"title": "X", "by": "subject", "train": [1]}},
    }
    path = tmp_path / "own.yaml"
    path.write_text(yaml.safe_dump(given | {"skeleton": "mediapipe33", "root": 23}))
    found = describe(str(path), "data.own.dataset")
    assert len(found.joints) == 33 and found.root == 23 and "skeleton" not in Dataset.model_fields
    path.write_text(yaml.safe_dump(given | {"skeleton": "kinect"}))
    with pytest.raises(
        InputError, match=r"own\.yaml: skeleton: no kinect in config/skeletons: did you mean kinect_v[12]\?"
    ):
        describe(str(path), "data.own.dataset")


def test_joints_without_a_name_of_these_are_refused(tmp_path):
    path = tmp_path / "own.yaml"
    splits = {"xsub": {"title": "X", "by": "subject", "train": [1]}}
    told = {
        "title": "A",
        "home": "here",
        "reader": "folder",
        "joints": ["hips"],
        "parents": [0],
        "root": 0,
        "actions": {1: "a"},
        "splits": splits,
    }
    path.write_text(yaml.safe_dump(told))
    block = {"dataset": str(path), "raw": "a", "ingest": {"joints": "common"}}
    with pytest.raises(
        InputError,
        match=r"data\.own\.ingest\.joints: common needs hip centre or spine base or pelvis or left hip and right hip",
    ):
        configuration.load({"data": {"own": block}, "methods": {"mamp": {"pretrain": {}}}})


@pytest.mark.parametrize("name", ["demo", "utd_mhad", "nw_ucla"])
def test_clips_on_the_common_joints_are_the_file_s_joints_by_name(tmp_path, name):
    described = Dataset(**yaml.safe_load((ROOT / f"config/datasets/{name}.yaml").read_text()))
    told = SimulateStage.of(described, Simulate(actions=4, subjects=2, setups=1, clips=8, frames=(12, 14), ghosts=0.3))
    simulate(tmp_path / "raw.zip", told)
    for joints in ("file", "common"):
        ingest(tmp_path / "raw.zip", tmp_path / joints, IngestStage.of(name, described, Ingest(joints=joints)))
    file, shared = (ClipStore.open(tmp_path / joints) for joints in ("file", "common"))
    assert shared.frames.shape == (*file.frames.shape[:2], 16, 3) and shared.table.equals(file.table)
    assert np.allclose(shared.frames, common_joints.to_common(file.frames, described.joints), atol=1e-6)
    first = shared[0][0, 0, common_joints.ROOT]
    assert np.array_equal(first, np.zeros(3))


def test_transfer_between_layouts_is_planned(tmp_path):
    folder = project(tmp_path / "project")
    done = snakemake(folder, "--dry-run", config=("config/tiny.yaml", "tests/config/across.yaml"))
    assert done.returncode == 0, done.stderr
    assert {message for message in messages(done.stdout + done.stderr) if message.startswith("Transfer")} == {
        "Transfer: demo xsub stars on utd xsub",
        "Transfer: utd xsub stars on demo xsub",
    }


def test_pairs_of_other_joints_need_them():
    given = merge(read_yaml(ROOT / "tests/config/tiny.yaml"), read_yaml(ROOT / "tests/config/across.yaml"))
    assert (
        configuration.stored(configuration.load(given), "utd").parents
        == configuration.stored(configuration.load(given), "demo").parents
        == common_joints.PARENTS
    )
    given["data"]["utd"]["ingest"]["joints"] = "file"
    with pytest.raises(InputError, match="demo and utd do not have the same joints in the same order: set ingest"):
        configuration.load(given)


def test_an_encoder_of_one_layout_learns_from_clips_of_another(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump(merge(read_yaml("tests/config/tiny.yaml"), read_yaml("tests/config/across.yaml"))))

    def stars(command: str, data: str, **paths: object) -> None:
        options = [word for name, path in paths.items() for word in (f"--{name}", str(path))]
        assert (
            cli.main(
                [command, *options, "--config", str(config), "--data", data, "--set", "finetune.optimiser.epochs=1"]
            )
            == 0
        )

    for data in ("demo", "utd"):
        folder = tmp_path / data
        stars("simulate", data, out=folder / "raw.zip")
        stars("ingest", data, raw=folder / "raw.zip", out=folder / "clips")
        stars("split", data, clips=folder / "clips", out=folder / "splits")
    stars("scratch", "demo", clips=tmp_path / "demo/clips", out=tmp_path / "scratch", recipe="scratch")
    rows = {side: tmp_path / f"utd/splits/xsub_{side}.npy" for side in ("train", "test")}
    told = {
        "encoder": tmp_path / "scratch/encoder.safetensors",
        "clips": tmp_path / "utd/clips",
        **rows,
        "target": "utd",
        "out": tmp_path / "out",
    }
    stars("finetune", "utd", **told, work=tmp_path / "work", device="cpu")
    metrics = json.loads((tmp_path / "out/metrics.json").read_text())
    assert metrics["data"] == "utd" and metrics["classes"] == 4 and metrics["test_clips"] == len(np.load(rows["test"]))
