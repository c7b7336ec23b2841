"""NW-UCLA: its JSON files are read as they stand, and whatever else stands there is named."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import ROOT, messages, project, snakemake

from stars import cli
from stars.config.reading import merge, read_yaml
from stars.data.dataset import FOLDER, Dataset
from stars.data.readers import Layout, nw_ucla
from stars.data.sources import Source
from stars.errors import InputError

NW_UCLA = Dataset(**yaml.safe_load((FOLDER / "nw_ucla.yaml").read_text()))
LAYOUT, NAME = Layout.of(NW_UCLA), "a12_s10_e04_v03"
JOINTS = np.random.default_rng(0).normal(size=(4, 20, 3)).round(6)
GOOD = json.dumps({"file_name": NAME, "skeletons": JOINTS.tolist(), "label": 10}).encode()


def read(data: bytes) -> np.ndarray:
    return nw_ucla.read(data, f"all_sqe/{NAME}.json", LAYOUT)


def test_joints_and_names():
    for frames in (4, 1):
        data = json.dumps(
            {"label": 10, "extra": None, "skeletons": JOINTS[:frames].tolist(), "file_name": NAME}
        ).encode()
        assert np.array_equal(read(data), JOINTS[:frames, None].astype(np.float32)) and read(data).dtype == np.float32
    whole = (1000 * JOINTS).astype(int)
    spaced = json.dumps({"file_name": NAME, "skeletons": whole.tolist(), "label": 10}, indent=1).encode()
    assert np.array_equal(read(spaced)[:, 0], whole)
    clip = nw_ucla.name_of("a01_s02_e00_v03.json")
    assert (clip.name, clip.action, clip.subject, clip.camera, clip.setup, clip.replication) == (
        "a01_s02_e00_v03",
        1,
        2,
        3,
        1,
        1,
    )


def test_every_file_is_a_clip_or_an_error(tmp_path: Path):
    for name in (NAME, "a1_s01_e00_v01", "notes"):
        (tmp_path / f"{name}.json").write_bytes(GOOD)
    found = dict(nw_ucla.clips(Source.open(tmp_path, nw_ucla.SUFFIXES), LAYOUT))
    assert [clip.name for clip in found.pop(f"{NAME}.json")] == [NAME]
    assert all(
        isinstance(error, InputError) and "expected a name like a01_s02_e00_v03.json" in str(error)
        for error in found.values()
    )


def changed(**keys: object) -> bytes:
    return json.dumps({"file_name": NAME, "skeletons": JOINTS.tolist(), "label": 10} | keys).encode()


def with_value(value: str) -> bytes:
    """A file with that in place of the last frame's first coordinate."""
    joints = JOINTS.tolist()
    joints[-1][0][0] = 123456.5
    return changed(skeletons=joints).replace(b"123456.5", value.encode())


BAD = {
    b"": "line 1: expected JSON, found Expecting value in column 1",
    GOOD[:500]: "line 1: expected JSON, found ",
    GOOD + b"{}": "expected JSON, found Extra data",
    GOOD.decode().encode("utf-16"): "expected JSON, found 'utf-8' codec",
    b"\xef\xbb\xbf" + GOOD: "expected JSON, found Unexpected UTF-8 BOM",
    b"[1]": "expected a JSON object with file_name, found none",
    GOOD.replace(b"skeletons", b"skeleton"): "expected a JSON object with skeletons, found none",
    GOOD[:-1] + b', "label": 3}': "expected JSON, found a key twice",
    changed(file_name="a01_s01_e00_v01"): f"expected file_name {NAME}, found 'a01_s01_e00_v01'",
    changed(label=0): "expected label, a whole number from 1, found 0",
    changed(label=True): "expected label, a whole number from 1, found True",
    changed(skeletons={}): "expected skeletons, a list of frames, found an object of 0",
    changed(skeletons=JOINTS[:, :19].tolist()): "expected 20 joints in frame 1, found a list of 19",
    changed(skeletons=JOINTS[..., :2].tolist()): "expected x, y and z of each joint in frame 1, found a list of 2",
    with_value("NaN"): "expected JSON, found NaN, which is not a JSON number",
    with_value("-Infinity"): "expected JSON, found -Infinity, which",
    with_value("1e999"): "expected x, y and z in metres in frame 4, found inf",
    with_value("1" + "0" * 4000): "expected x, y and z in metres in frame 4, found 1000",
    with_value("9" * 5000): "expected JSON, found Exceeds the limit",
    with_value('"1.0"'): "expected x, y and z in metres in frame 4, found '1.0'",
    with_value("true"): "expected x, y and z in metres in frame 4, found True",
    with_value("null"): "expected x, y and z in metres in frame 4, found None",
    with_value("[" * 900 + "]" * 900): "expected x, y and z in metres in frame 4, found a list of 1",
    with_value("[" * 100_000): "expected JSON, found maximum recursion depth exceeded",
    b" " * (8 * 2**20 + 1): "expected a file of at most 8388608 bytes, found 8388609",
}


@pytest.mark.parametrize("data", BAD, ids=BAD.values())
def test_what_is_wrong_is_named(data):
    with pytest.raises(InputError, match=rf"all_sqe/{NAME}\.json.*{re.escape(BAD[data])}") as error:
        read(data)
    assert "\n" not in str(error.value) and len(str(error.value)) < 200


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["label", "skeletons", "x"]), inner, max_size=3)
    ),
)


@settings(max_examples=150, deadline=None)
@given(
    st.one_of(
        st.binary(), JSON.map(lambda value: json.dumps(value).encode()), st.builds(changed, skeletons=JSON, label=JSON)
    )
)
def test_no_bytes_raise_anything_else(data):
    try:
        assert np.isfinite(read(data)).all()
    except InputError:
        pass


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, len(GOOD)),
            st.integers(0, 30),
            st.binary(max_size=6) | st.sampled_from([b"NaN", b"1e400", b"[["]),
        ),
        min_size=1,
    )
)
def test_no_changed_file_raises_anything_else(changes):
    data = bytearray(GOOD)
    for at, length, new in changes:
        data[at : at + length] = new
    try:
        assert np.isfinite(read(bytes(data))).all()
    except InputError:
        pass


def test_the_description_holds_the_published_facts():
    assert len(NW_UCLA.joints) == 20 and list(NW_UCLA.actions) == [1, 2, 3, 4, 5, 6, 8, 9, 11, 12]
    assert all(sum(NW_UCLA.splits[split].counts) == NW_UCLA.clips == 1484 for split in ("xview", "xsub"))
    # its encoder has not seen what is novel
    assert {*NW_UCLA.splits["base"].actions} == {*NW_UCLA.actions} - {*NW_UCLA.novel}
    assert NW_UCLA.parents[NW_UCLA.root] == NW_UCLA.root
    assert all(NW_UCLA.joints[left].replace("left", "right") == NW_UCLA.joints[right] for left, right in NW_UCLA.mirror)


SMALL = {"raw": None, "simulate": {"actions": 4, "subjects": 6, "repetitions": 1, "frames": [10, 16], "clips": 60}}


def test_its_configuration_has_every_protocol_planned(tmp_path):
    folder = project(tmp_path / "project")
    targets = ["quickstart", "finetune", "semi", "few_shot", "transfer", "comparison"]
    (folder / "small.yaml").write_text(yaml.safe_dump({"data": {"nw_ucla": SMALL}, "targets": targets}))
    done = snakemake(folder, "--dry-run", config=("config/nw_ucla.yaml", "small.yaml"))
    assert done.returncode == 0, done.stdout + done.stderr
    jobs = set(messages(done.stdout + done.stderr))
    for split in ("xview", "xsub"):
        for method in ("scratch", "mamp", "stars", "stars_two_views"):
            evaluated = {f"{job}: nw_ucla {split} {method}" for job in ("Embed", "KNN", "Linear probe", "Fine-tune")}
            assert (
                evaluated <= jobs
                and sum(job.startswith(f"Semi-supervised: nw_ucla {split} {method} ") for job in jobs) == 3
            )
            assert f"Few-shot: nw_ucla base {method} on nw_ucla xview" in jobs
            assert f"Transfer: kinect_v2 xsub {method} on nw_ucla_common xview" in jobs
    assert {"KNN: nw_ucla xview raw_joints", "Comparison: nw_ucla xview", "Comparison: nw_ucla xsub"} <= jobs
    assert not any(job.startswith(("KNN: kinect_v2", "KNN: nw_ucla_common", "KNN: nw_ucla base")) for job in jobs)


def test_both_of_its_splits_run(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    given = read_yaml("config/nw_ucla.yaml")
    tiny = {name: read_yaml("tests/config/tiny.yaml")[name] for name in ("model", "pretrain", "tune")}
    config = tmp_path / "config.yaml"
    changed = {**tiny, "data": {"nw_ucla": SMALL}, "methods": {"stars_two_views": {"tune": {"tuned_blocks": 2}}}}
    config.write_text(yaml.safe_dump(merge(given, changed), sort_keys=False))

    def stars(command: str, recipe: str = "", **paths: object) -> None:
        told = [word for name, path in paths.items() for word in (f"--{name}", str(path))]
        assert cli.main([command, *told, "--config", str(config), *(["--recipe", recipe] if recipe else [])]) == 0

    clips, splits, mamp, tuned = (tmp_path / name for name in ("clips", "splits", "mamp", "stars"))
    stars("simulate", out=tmp_path / "raw")
    stars("ingest", raw=tmp_path / "raw", out=clips)
    for split in ("xview", "xsub"):
        stars("split", clips=clips, out=splits, split=split)
        rows = {"clips": clips, "train": splits / f"{split}_train.npy"}
        stars("pretrain", "mamp", **rows, out=mamp, work=tmp_path / "work", device="cpu")
        stars(
            "tune",
            "stars_two_views",
            **rows,
            parent=mamp / "encoder.safetensors",
            out=tuned,
            work=tmp_path / "work",
            device="cpu",
        )
        rows |= {"test": splits / f"{split}_test.npy", "target": "nw_ucla"}
        stars("embed", "stars_two_views", **rows, method=tuned, out=tuned / "features", device="cpu")
        stars("knn", "stars_two_views", **rows, features=tuned / "features", out=tmp_path / split)
    views, subjects = (json.loads((tmp_path / split / "metrics.json").read_text()) for split in ("xview", "xsub"))
    assert (views["train_clips"], views["test_clips"], views["classes"]) == (40, 20, 4)
    assert (subjects["train_clips"], subjects["test_clips"], subjects["classes"]) == (48, 12, 4)
