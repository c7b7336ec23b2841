"""Pictures of a clip and what is told of denoising: right in number, length and words, and the same each time."""

import os
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from tiny import CONFIG

from stars import cli
from stars.config import Denoise, Ingest
from stars.data.dataset import FOLDER, Dataset
from stars.data.denoise import decide
from stars.data.readers import Layout, ntu
from stars.inspect.animation import times
from stars.inspect.clip import ClipStage, of_file
from stars.inspect.draw import evenly, runs
from stars.inspect.labels import columns
from stars.inspect.scene import explain, scene

PARITY = Path(os.environ.get("STARS_PARITY_DIR", Path(__file__).parent / "data/parity"))
NTU = Dataset(**yaml.safe_load((FOLDER / "ntu60.yaml").read_text()))


def test_what_is_told_of_each_body_id_and_of_frames():
    for path in sorted((PARITY / "ntu_denoise_raw").iterdir()):
        clip = ntu.read(path.read_bytes(), path.name, Layout.of(NTU))
        decisions, drawn = decide(clip, Denoise()), scene(clip, Denoise(), 2, 300)
        lines = explain(drawn, Denoise())
        assert [line.split(",")[0] for line in lines[: len(decisions)]] == [f"id {case.id}" for case in decisions]
        assert ["dropped" in line for line in lines[: len(decisions)]] == [case.actor is None for case in decisions]
        left_out = clip.frames - len(drawn.x_tmvc)
        assert (f"{left_out} of {clip.frames} frames left out" in lines[-1]) == (left_out > 0)


def test_scene_holds_what_denoising_dropped():
    for path in sorted((PARITY / "ntu_denoise_raw").iterdir()):
        drawn = scene(ntu.read(path.read_bytes(), path.name, Layout.of(NTU)), Denoise(), 2, 300)
        cases = [case for case in drawn.decisions if case.actor is None]
        assert drawn.dropped.shape == (len(drawn.x_tmvc), len(cases), 25, 3)
        for index, case in enumerate(cases):
            within = (drawn.at >= case.body.start) & (drawn.at < case.body.end)
            assert np.array_equal(drawn.dropped[within, index], case.body.joints[drawn.at[within] - case.body.start])
            assert not drawn.dropped[~within, index].any()


@pytest.mark.parametrize(
    ("frames", "fps", "pictures"), [(95, 30, 95), (7, 25, 7), (240, 120, 80), (61, 60, 31), (1, 30, 1)]
)
def test_an_animation_lasts_as_long_as_the_clip(frames, fps, pictures):
    shown, durations = times(frames, fps)
    assert len(shown) == len(durations) == pictures and shown[0] == 0 and len(set(np.diff(shown))) <= 1
    assert all(duration % 10 == 0 and duration >= 20 for duration in durations)
    assert sum(durations) == pytest.approx(1000 * frames / fps, abs=5)


def test_pictures_of_a_raw_file(tmp_path):
    dataset = NTU.model_copy(update={"fps": 20})
    path = min((PARITY / "ntu_denoise_raw").iterdir(), key=lambda path: path.stat().st_size)
    stage = ClipStage(name="../a clip", dataset=dataset, ingest=Ingest(max_frames=12), frames=5)
    lines = of_file(path, tmp_path / "one", stage)
    of_file(path, tmp_path / "two", stage)
    names = [".._a_clip.png", ".._a_clip.gif"]
    assert lines[-2:] == [str(tmp_path / "one" / name) for name in names] and "12 frames, 0.60 s" in lines[0]
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    with Image.open(tmp_path / "one" / names[1]) as picture:
        assert picture.n_frames == 12 and picture.info["loop"] == 0
        assert sum(_durations(picture)) == 600


def _durations(picture: Image.Image) -> list[int]:
    found = []
    for frame in range(picture.n_frames):
        picture.seek(frame)
        found.append(picture.info["duration"])
    return found


def test_a_clip_by_its_name_and_what_is_wrong_with_a_request(finished, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(finished)
    name = (finished / "results/demo/clips/clips.csv").read_text().splitlines()[1].split(",")[0]
    assert cli.main(["inspect", name, "--config", CONFIG, "--out", str(tmp_path), "--frames", "3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"{name}: wave, subject 1, camera 1, setup 1;") and lines[1].startswith("id 7205759403")
    assert lines[-2:] == [f"{tmp_path / name}.png", f"{tmp_path / name}.gif"]
    (tmp_path / "x.mat").write_bytes(b"no")
    (tmp_path / "x.skeleton").write_bytes(b"1\n0\n")
    for arguments, expected in (
        (["nowhere"], f"nowhere: not a data set in {CONFIG}, not a file, and not a clip of demo, other"),
        ([name, "--data", "demos"], f"--data demos: not in {CONFIG}: did you mean demo?"),
        ([str(tmp_path / "x.mat")], f"no data set of {CONFIG} reads such files"),
        ([str(tmp_path / "x.skeleton"), "--data", "demo"], "no body in any frame: choose another file"),
        ([name, "--frames", "0"], "frames: expected a number of at least 1"),
    ):
        assert cli.main(["inspect", *arguments, "--config", CONFIG, "--out", str(tmp_path / "none")]) == 2
        assert expected in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_helpers_of_drawing():
    assert evenly(95, 4) == [0, 31, 63, 94] and evenly(3, 8) == [0, 1, 2] and evenly(1, 8) == [0]
    assert runs(np.array([0, 1, 2, 5, 6, 9])) == [(0, 3), (5, 7), (9, 10)] and runs(np.array([], int)) == []
    left, right = columns(np.array([[0, 1], [2, 0], [1, 5], [3, 9]]))
    assert left.tolist() == [2, 0] and right.tolist() == [3, 1]
    left, right = columns(np.array([[0, 1], [2, 0], [1, 5], [3, 9]]), np.array([False, True, False, True]))
    assert left.tolist() == [3, 1] and right.tolist() == [2, 0]
