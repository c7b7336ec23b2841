"""The quality page: planted faults are found and clean clips are not suspected; numbers against plain ones; whole,
escaped, the same each time.
"""

import io
import json
import os
import re
import shutil
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from tiny import CONFIG, ROOT, planned, project

from stars import cli
from stars.config import Ingest, Inspect, Simulate
from stars.data.dataset import Dataset
from stars.data.simulate import simulate
from stars.data.simulate.stage import SimulateStage
from stars.data.store import ClipStore
from stars.errors import InputError
from stars.ingest import IngestStage, ingest
from stars.inspect.cards import around
from stars.inspect.measures import measure
from stars.inspect.page import InspectStage, page
from stars.inspect.skeleton import Skeleton, view
from stars.inspect.suspicious import suspicious

DEMO = Dataset(**yaml.safe_load((ROOT / "config/datasets/demo.yaml").read_text()))
SKELETON, LIMITS = Skeleton.of(DEMO), Inspect()
CLEAN = Simulate(clips=160, occlusion=0, ghosts=0, dropped=0, switches=0)
KNEE, WRIST, FOOT = (DEMO.joints.index(name) for name in ("left knee", "right wrist", "left foot"))


@pytest.fixture(scope="module")
def clean(tmp_path_factory) -> Path:
    """Clips of every simulated action, filmed without a mistake."""
    folder = tmp_path_factory.mktemp("clean")
    simulate(folder / "raw.zip", SimulateStage.of(DEMO, CLEAN))
    ingest(folder / "raw.zip", folder / "clips", IngestStage.of("demo", DEMO, Ingest()))
    return folder / "clips"


def changed(folder: Path, changes: dict[int, np.ndarray], out: Path) -> Path:
    """A copy of a store with other joints in some clips."""
    store = ClipStore.open(folder)
    rows = store.table.drop(columns="frames").to_dict("records")
    ClipStore.write(
        out, ((row, changes.get(clip, store[clip])) for clip, row in enumerate(rows)), store.bodies, store.joints
    )
    shutil.copyfile(folder / "quality.json", out / "quality.json")
    return out


def found(folder: Path) -> list[list]:
    store = ClipStore.open(folder)
    return suspicious(measure(store, SKELETON, DEMO.fps, LIMITS.still), SKELETON, LIMITS, DEMO.fps)


def test_clean_clips_are_not_suspected(clean):
    assert found(clean) == []


def test_planted_faults_are_found_where_they_are(clean, tmp_path):
    store = ClipStore.open(clean)
    two = int(np.flatnonzero(store.table["bodies"] == 2)[0])
    jump, frozen, limb = (np.array(store[clip]) for clip in (3, two, 7))
    jump[20:, 0, WRIST] += (0, 3.0, 0)  # from here on: one step, and a forearm that is far too long
    frozen[10:31, 1] = frozen[10, 1]
    limb[:, 0, FOOT] += (0, -0.5, 0)
    clips = {own[0].clip: own for own in found(changed(clean, {3: jump, two: frozen, 7: limb}, tmp_path / "clips"))}
    assert set(clips) == {3, two, 7}
    by_kind = {fault.kind: fault for fault in clips[3]}
    assert set(by_kind) == {"jump", "huge limb"}
    assert (by_kind["jump"].joints, by_kind["jump"].frames) == ((WRIST,), (19, 20))
    assert by_kind["jump"].value == pytest.approx(3 * DEMO.fps, rel=0.05)
    stood = next(fault for fault in clips[two] if fault.kind == "frozen")  # where it goes on it may jump
    assert (stood.body, stood.joints, stood.frames, stood.value) == (1, (), (10, 30), 20 / DEMO.fps)
    assert [(fault.kind, fault.body, fault.joints[1]) for fault in clips[7]] == [("huge limb", 0, FOOT)]
    assert clips[7][0].value == pytest.approx(0.5, abs=0.15) and "left ankle – left foot of body 1" in clips[7][0].why
    severities = [own[0].severity for own in found(tmp_path / "clips")]
    assert severities == sorted(severities, reverse=True) and severities[0] == max(
        fault.severity for own in clips.values() for fault in own
    )


def test_clips_are_gathered_in_any_order(clean, tmp_path):
    store = ClipStore.open(changed(clean, {}, tmp_path / "clips"))
    rows = np.random.default_rng(0).permutation(len(store))
    assert np.array_equal(store.gather(rows), np.concatenate([store[row] for row in rows]))
    os.truncate(tmp_path / "clips/frames.npy", 10_000)
    with pytest.raises(InputError, match="is shorter than its clips: ingest again"):
        store.gather(rows)


def test_measures_equal_plain_ones(clean, tmp_path, monkeypatch):
    monkeypatch.setattr("stars.data.store.BLOCK", 150)
    store = ClipStore.open(clean)
    gap = np.array(store[5])
    gap[12:15] = 0  # nobody: steps to and from here are none
    store = ClipStore.open(changed(clean, {5: gap}, tmp_path / "clips"))
    assert all(np.array_equal(clip, store[row]) for row, clip in enumerate(store.stream()))
    measures = measure(store, SKELETON, DEMO.fps, still=0.002)
    rows = [(clip, body) for clip in range(len(store)) for body in range(store.table["bodies"][clip])]
    assert [(it.clip, it.body) for it in measures.bodies] == rows
    for index in [*np.random.default_rng(0).choice(len(rows), 12, replace=False).tolist(), rows.index((5, 0))]:
        it, x_tvc = measures.bodies[index], store[rows[index][0]][:, rows[index][1]].astype(float)
        fastest, rest, longest_rest = 0.0, 0, 0
        for before, after in pairwise(x_tvc):
            steps = (
                [np.linalg.norm(after[joint] - before[joint]) for joint in range(25)]
                if before.any() and after.any()
                else [np.inf]
            )
            fastest = max(fastest, max(steps) if np.isfinite(steps).all() else 0)
            rest = rest + 1 if max(steps) <= 0.002 else 0
            longest_rest = max(longest_rest, rest)
        assert it.speed == pytest.approx(fastest * DEMO.fps, rel=1e-4) and it.still == pytest.approx(
            longest_rest / DEMO.fps
        )
        assert it.seen == sum(frame.any() for frame in x_tvc)
        shins = [np.linalg.norm(frame[KNEE] - frame[DEMO.parents[KNEE]]) for frame in x_tvc if frame.any()]
        assert measures.lengths[index, KNEE] == pytest.approx(np.mean(shins), rel=1e-5)
        assert measures.longest[index, KNEE] == pytest.approx(max(shins), rel=1e-5)


def told(**facts) -> InspectStage:
    return InspectStage(name="demo", dataset=DEMO.model_copy(update=facts), splits=("xsub",), inspect=LIMITS)


class Tags(HTMLParser):
    """Every tag with its attributes, and the text of the page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags, self.words = [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.words.append(data.strip())


def test_the_page_is_whole_escaped_and_the_same_each_time(clean, tmp_path):
    store = ClipStore.open(clean)
    odd = np.array(store[3])
    odd[20:, 0, WRIST] += 3
    clips = changed(clean, {3: odd}, tmp_path / "clips")
    entry = {"name": "<b>x", "source": "<b>x.skeleton", "reason": "no body in any frame"}
    explained = {"dropped": [entry], "complete": {"explanation": ["<i>many</i> are not among the raw files"]}}
    (clips / "quality.json").write_text(json.dumps(json.loads((clean / "quality.json").read_text()) | explained))
    (tmp_path / "splits").mkdir()
    for side in ("train", "test"):
        np.save(tmp_path / f"splits/xsub_{side}.npy", np.arange(80))
    split = DEMO.splits["xsub"].model_copy(update={"counts": (80, 90)})
    stage = told(
        actions={**DEMO.actions, 1: "<script>alert(1)</script> & wave", 21: "never seen"},
        clips=161,
        splits={"xsub": split},
    )
    for out in ("one", "two"):
        page(clips, tmp_path / "splits", tmp_path / out, stage)
    text = (tmp_path / "one/index.html").read_text()
    assert text == (tmp_path / "two/index.html").read_text()
    read = Tags(text)
    assert not {"script", "link", "img", "iframe", "object"} & {tag for tag, _ in read.tags}
    assert not re.search(r"https?:|url\(|@import|src=", text) and not any(
        "href" in attributes for _, attributes in read.tags
    )
    for expected in (
        "1 <script>alert(1)</script> & wave",
        "<b>x",
        "<i>many</i> are not among the raw files.",
        "the complete data set has 161",
    ):
        assert expected in read.words
    assert "complete" in read.words and "the complete data set has 90" in read.words and "21 never seen" in read.words
    listed = pd.read_csv(io.StringIO((tmp_path / "one/suspicious.csv").read_text()))
    assert listed["name"].unique().tolist() == [store.names[3]] and f"1. {store.names[3]}" in read.words
    assert (19, 20) in set(zip(listed["first_frame"], listed["last_frame"], strict=True))


def test_missing_bodies(clean, tmp_path):
    store = ClipStore.open(clean)
    two = np.flatnonzero(store.table["bodies"] == 2)
    half = np.array(store[two[0]])
    half[: len(half) // 2, 1] = 0
    clips = changed(clean, {int(two[0]): half}, tmp_path / "clips")
    page(clips, tmp_path, tmp_path / "page", told())
    words = Tags((tmp_path / "page/index.html").read_text()).words
    at = words.index("body 2")
    lost = len(half) // 2 + store.lengths[store.table["bodies"] == 1].sum()
    cells = [word for word in words[at + 1 :] if word][:4]
    shares = (1 - len(two) / len(store), 1 / len(store), lost / store.lengths.sum())
    assert cells == [str(len(store)), *(f"{100 * share:.1f} %" for share in shares)]


def test_view_shows_bodies_upright_and_from_where_they_can_be_told_apart(clean):
    store = ClipStore.open(clean)
    left, right = np.array(DEMO.mirror).T
    for clip in range(0, len(store), 7):
        bodies = store.table["bodies"][clip]
        x_tmvc = np.array(store[clip][:, :bodies])
        for turned in (x_tmvc, x_tmvc[..., [2, 0, 1]]):  # y up, and the same with z up
            skeleton = SKELETON if turned is x_tmvc else Skeleton.of(DEMO.model_copy(update={"up": "z"}))
            seen = turned @ view(turned, skeleton)
            head, foot = seen[:, :, DEMO.joints.index("head")], seen[:, :, FOOT]
            assert np.median(head[..., 1] - foot[..., 1]) > 0.9
            if bodies == 2:
                assert seen[:, 0, :, 0].mean() < seen[:, 1, :, 0].mean()
            else:
                assert (seen[:, 0, left, 0] - seen[:, 0, right, 0]).mean() > 0


def test_frames_around_a_fault():
    assert around((10, 11), 40) == [8, 9, 10, 11, 12, 13]
    assert around((0, 1), 40) == [0, 1, 2, 3, 4, 5] and around((39, 39), 40) == [34, 35, 36, 37, 38, 39]
    assert around((10, 60), 80) == [10, 20, 30, 40, 50, 60] and around((1, 2), 3) == [0, 1, 2]


def test_the_target_makes_the_page_and_what_it_reads_alone(tmp_path):
    (tmp_path / "changed.yaml").write_text("targets: [quality]")
    assert planned(project(tmp_path / "project"), tmp_path / "changed.yaml") == {
        "simulate",
        "ingest",
        "split",
        "inspect",
    }


def test_the_command_writes_what_the_workflow_wrote(finished, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(finished)
    assert cli.main(["inspect", "demo", "--config", CONFIG, "--out", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"{tmp_path}/index.html\n"
    for name in ("index.html", "suspicious.csv"):
        assert (tmp_path / name).read_bytes() == (finished / "results/demo/quality" / name).read_bytes()
