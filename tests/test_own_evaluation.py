"""Evaluating, fitting and using a classifier of one's own clips: against slow versions, through the commands, and in
a notebook.
"""

from __future__ import annotations

import csv
import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from figure import mediapipe, standing
from tiny import ROOT
from toy import SHAPE

import stars
from stars import cli
from stars.backbones.transformer import Network
from stars.errors import InputError
from stars.evaluation import calibration
from stars.evaluation.folds import folds, interval
from stars.inference import labelled
from stars.inference.classifier import NONE, Classifier
from stars.inference.evaluate import evaluate, threshold
from stars.inference.labelled import Labelled
from stars.inference.methods import METHODS, unit
from stars.inference.model import Model
from stars.training.weights import save_encoder

ACTIONS = {"kick": "leg", "lift": "right", "raise": "left"}


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """clips/ACTION/s{subject}_{take}.npy of three actions and subjects, three takes each; one more take of the first
    is a copy.
    """
    home = tmp_path_factory.mktemp("own")
    rng = np.random.default_rng(0)
    for action, moved in ACTIONS.items():
        (home / "clips" / action).mkdir(parents=True)
        for subject in range(3):
            for take in range(3):
                clip = standing(24, moved, rng.uniform(0.8, 1.2)) * (1 + 0.05 * subject) + rng.normal(
                    0, 0.01, (24, 25, 3)
                )
                np.save(home / "clips" / action / f"s{subject}_{take}.npy", clip.astype(np.float32))
    shutil.copy(home / "clips/kick/s0_0.npy", home / "clips/kick/s0_9.npy")
    save_encoder(home / "encoder.safetensors", Network(SHAPE, 16))
    return home


@pytest.fixture(scope="module")
def model(home) -> Model:
    return stars.load(home / "encoder.safetensors", skeleton="kinect_v2")


@pytest.fixture(scope="module")
def clips(model, home) -> Labelled:
    with pytest.warns(UserWarning, match=r"copies of other clips are ignored: .*s0_9.npy \(of .*s0_0.npy\)"):
        return labelled.read(model, home / "clips", r"(s\d)_")


def test_folds_keep_subjects_together_and_actions_in_equal_shares():
    labels = np.arange(120) % 4
    few, many = [f"s{row % 5}" for row in range(120)], [f"s{row % 30}" for row in range(120)]
    for groups, count in ((few, 5), (many, 10)):
        fold = folds(labels, groups)
        assert len(np.unique(fold)) == count
        assert all(len(set(fold[np.array(groups) == group])) == 1 for group in groups)
    fold = folds(labels, None)
    assert {int(((fold == number) & (labels == label)).sum()) for number in range(5) for label in range(4)} == {6}
    with pytest.raises(InputError, match="at least two actions"):
        folds(np.zeros(9, int), None)
    right = np.arange(120) % 30 < 15  # of thirty subjects, half always right and half never
    alone, together = interval(right, None), interval(right, many)
    assert together[1] - together[0] > 1.6 * (alone[1] - alone[0])


def test_probabilities_keep_their_word():
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(6000, 4))
    truth = calibration.probabilities(scores, 0.5)
    labels = (truth.cumsum(axis=1) > rng.uniform(size=(6000, 1))).argmax(axis=1)
    assert calibration.temperature(scores, labels) == pytest.approx(0.5, rel=0.1)
    answers, right = truth.max(axis=1), truth.argmax(axis=1) == labels
    found = calibration.reliability(answers, right)
    assert found.error < 0.03 and found.clips.sum() == 6000
    inside = (answers >= 0.5) & (answers < 0.6)
    assert found.right[5] == pytest.approx(right[inside].mean()) and found.said[5] == pytest.approx(
        answers[inside].mean()
    )
    assert calibration.reliability(np.full(10, 0.95), np.arange(10) < 5).error == pytest.approx(0.45)


def test_the_nearest_clip_of_others_decides(clips):
    """Leave a subject out, by hand."""
    assert len(clips.names) == 27 and set(clips.groups) == {"s0", "s1", "s2"} and clips.frames == 24
    found = evaluate(clips)
    for method in METHODS[:2]:
        vectors = clips.vectors[method.vectors].astype(np.float64)
        for row in range(27):
            others = [other for other in range(27) if clips.groups[other] != clips.groups[row]]
            cosine = [
                vectors[row] @ vectors[other] / np.linalg.norm(vectors[row]) / np.linalg.norm(vectors[other])
                for other in others
            ]
            assert found.outcomes[method.name].predicted[row] == clips.labels[others[int(np.argmax(cosine))]]
    best = max(found.outcomes.values(), key=lambda one: one.accuracy)
    assert found.best is best and best.accuracy == pytest.approx(100 * (best.predicted == clips.labels).mean())
    table = found.per_action()
    assert table["clips"].tolist() == [9, 9, 9] and table["recall"].mean() == pytest.approx(best.accuracy)
    assert [size for size, _ in found.curve] == [1, 2, 4, 6] and found.honest <= 100
    tops = best.scores.max(axis=1)
    assert (tops < threshold(best.scores, 0.25)).mean() == pytest.approx(0.25, abs=0.04)


def test_the_choice_is_checked_on_subjects_that_did_not_choose():
    rng = np.random.default_rng(2)
    labels, who = np.tile(np.arange(3), 20), np.repeat([f"s{number}" for number in range(6)], 10)
    vectors = {
        kind: (rng.normal(size=(60, 4)) + np.eye(3, 4)[labels]).astype(np.float32) for kind in ("joints", "features")
    }

    def of(rows: np.ndarray) -> Labelled:
        names = [f"clip {row}" for row in rows]
        return Labelled(
            names,
            labels[rows],
            ["a", "b", "c"],
            who[rows].tolist(),
            [],
            {kind: all_nd[rows] for kind, all_nd in vectors.items()},
        )

    found, right, choices = evaluate(of(np.arange(60))), [], set()
    for subject in np.unique(who):
        choices.add(chosen := evaluate(of(np.flatnonzero(who != subject))).chosen)
        right.append(found.outcomes[chosen].right[who == subject])
    assert len(choices) > 1 and found.honest == pytest.approx(100 * np.mean(right))
    assert found.honest < found.best.accuracy


def test_a_linear_probe_is_the_discriminant_s():
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    rng = np.random.default_rng(0)
    labels = np.repeat([0, 2, 3], 40)
    vectors = rng.normal(size=(120, 6)) * [1, 5, 0.1, 2, 1, 1] + labels[:, None] * 0.2
    fitted = METHODS[2].fit(vectors, labels, 5)
    other = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto", priors=[1 / 3] * 3).fit(vectors, labels)
    new = rng.normal(size=(500, 6)) * [1, 5, 0.1, 2, 1, 1]
    assert (fitted.scores(new).argmax(axis=1) == other.predict(new)).mean() > 0.95
    assert not set(fitted.scores(new).argmax(axis=1)) & {1, 4}


def run(*words: object) -> None:
    assert cli.main([*map(str, words), "--device", "cpu"]) == 0


def test_commands_from_a_folder_to_a_classifier_that_moves(home, model, clips, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(home)
    told = ("--encoder", "encoder.safetensors", "--skeleton", "kinect_v2", "--group-by", r"(s\d)_")
    run("evaluate", "clips", *told, "--out", "verdict", "--finetune", 1)
    printed = capsys.readouterr()
    assert printed.out.startswith(
        "27 clips, 3 actions, 3 subjects, each tested with a classifier trained on the others; 3 folds\n"
    )
    assert "copies of other clips are ignored" in printed.err and "none of these: " in printed.out
    kept = json.loads(Path("verdict/evaluation.json").read_text())
    assert list(kept["methods"]) == ["joints", "nearest", "linear", "finetuned"] and kept["chosen"] != "finetuned"
    with Path("verdict/predictions.csv").open() as table:
        rows = list(csv.DictReader(table))
    right = [row["action"] == row[kept["chosen"]] for row in rows]
    assert kept["methods"][kept["chosen"]]["accuracy"] == pytest.approx(100 * np.mean(right), abs=1e-3)
    assert all(
        Path(f"verdict/{name}.png").stat().st_size > 3000 for name in ("confusion", "reliability", "learning_curve")
    )
    run("fit", "clips", *told, "--out", "fitted")
    shutil.move("fitted", tmp_path / "elsewhere")
    capsys.readouterr()
    monkeypatch.chdir(tmp_path)
    run("predict", home / "clips", "--classifier", "elsewhere", "--false-alarms", 0, "--json")
    answers = json.loads(capsys.readouterr().out)
    assert [one["label"] for one in answers] == [Path(one["clip"]).parent.name for one in answers]
    assert all(one["probability"] + sum(share for _, share in one["others"]) == pytest.approx(1) for one in answers)
    strange = standing(24)[:, ::-1] * 1.3
    loaded = Classifier.load("elsewhere")
    assert loaded.predict([strange], 0.05)[0].label == NONE and "Classifier(" in repr(loaded)
    with pytest.raises(
        InputError, match=r"encoder\.safetensors is not the encoder that the classifier was fitted with"
    ):
        save_encoder("elsewhere/encoder.safetensors", Network(SHAPE, 25))
        Classifier.load("elsewhere")


def test_a_long_recording_becomes_a_timeline(home, model, clips, monkeypatch, capsys, tmp_path):
    from stars.inference.classifier import fit

    fit(model, evaluate(clips, METHODS[:1]), tmp_path / "fitted", {})
    parts = [np.load(home / "clips" / action / "s1_1.npy") for action in ("kick", "kick", "raise", "raise")]
    np.save(tmp_path / "long.npy", np.concatenate([*parts, np.zeros_like(parts[0]), np.zeros_like(parts[0])]))
    run(
        "predict",
        tmp_path / "long.npy",
        "--classifier",
        tmp_path / "fitted",
        "--false-alarms",
        0,
        "--timeline",
        tmp_path / "lines",
    )
    with (tmp_path / "lines/long.csv").open() as table:
        rows = list(csv.DictReader(table))
    shown = [row["action"] for row in rows]
    assert (
        shown[0] == "kick"
        and shown[-1] == "nobody"
        and "raise" in shown
        and float(rows[-1]["end"]) == pytest.approx(4.8)
    )
    assert [row["start"] for row in rows[1:]] == [row["end"] for row in rows[:-1]] and (
        tmp_path / "lines/long.png"
    ).is_file()


def test_a_library_leaves_copies_out_and_gives_a_rank(home, model):
    library = model.library(home / "clips")
    one = home / "clips/kick/s0_0.npy"
    with pytest.warns(UserWarning, match="s0_0.npy is in the library, as .*: excluded from its own vote"):
        (found,) = library.predict([str(one)], 3)
    assert found.nearest not in (str(one), str(home / "clips/kick/s0_9.npy"))
    rows = unit(library.features)
    label = np.array(library.labels)
    own = np.flatnonzero(label == found.label)
    nearest = [max(rows[row] @ rows[other] for other in own if rows[row] @ rows[other] < 1 - 1e-10) for row in own]
    assert found.among == len(own) + 1 and found.rank == 1 + sum(value > found.similarity + 1e-12 for value in nearest)
    assert "\n" not in repr(library) + repr(model)


def test_a_notebook_shows_clips_and_evaluations(home, model):
    clip = model.read(home / "clips/kick/s0_0.npy")[0]
    assert repr(clip) == f"OwnClip({home / 'clips/kick/s0_0.npy'}: 24 frames, 1 body, 16 joints)"
    assert 'src="data:image/gif;base64,R0lGOD' in clip._repr_html_()
    with pytest.warns(UserWarning, match="copies"):
        table, figure = shown = model.evaluate(home / "clips", r"(s\d)_")
    assert list(table.columns) == ["classifier", "accuracy", "low", "high", "chosen"] and len(table) == 3
    assert figure is shown.figure and "data:image/png;base64" in shown._repr_html_()


def test_the_page_s_commands_are_commands():
    commands = re.findall(r"^stars (.*)$", PAGE, re.MULTILINE)
    assert len(commands) > 4 and all(cli._parsed(line.split()).handler for line in commands)


PAGE = (ROOT / "docs/own_actions.md").read_text()


def text_clip(path: Path, clip: np.ndarray) -> Path:
    """A clip as a .json file of landmarks, or as a .csv file with bare headers."""
    rows = clip.reshape(len(clip), -1).tolist()
    if path.suffix == ".json":
        path.write_text(
            json.dumps([[dict(zip("xyz", point, strict=True)) for point in frame] for frame in clip.tolist()])
        )
    else:
        head = [f"{axis}{number}" for number in range(clip.shape[1]) for axis in "xyz"]
        path.write_text("\n".join(",".join(map(str, row)) for row in (head, *rows)))
    return path


def array(clip: np.ndarray) -> str:
    np.save("clip.npy", clip)
    return "clip.npy"


def test_mediapipe_s_results_become_a_clip(home, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    seen = mediapipe(standing())
    points = [[[SimpleNamespace(**dict(zip("xyz", point, strict=True))) for point in frame]] for frame in seen.tolist()]
    results = [SimpleNamespace(pose_world_landmarks=people) for people in (*points, [])]
    (code,) = (
        block
        for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
        if "mediapipe" in block or "landmarks" in block
    )
    exec(code, {"results": results})
    model = stars.load(home / "encoder.safetensors", like="demo", skeleton="mediapipe33")
    (clip,) = model.read("library")
    assert np.array_equal(clip.x_tmvc[:40], model.read(seen)[0].x_tmvc)
    assert re.search("/(.+)_", "wave/ann_1.json")[1] == "ann"


MISUSED = {  # what stands in the table → words of `stars predict`
    "33 landmarks of MediaPipe, an encoder of 25 joints": lambda: [text_clip(Path("clip.json"), mediapipe(standing()))],
    "`--like mediapipe33`": lambda: [text_clip(Path("clip.json"), mediapipe(standing())), "--like", "mediapipe33"],
    "a csv with the columns x0, y0, z0 …": lambda: [text_clip(Path("clip.csv"), standing())],
    "the same, some joints missing": lambda: [text_clip(Path("clip.csv"), standing()[:, :2])],
    "millimetres": lambda: [array(standing() * 1000)],
    "a body upside down": lambda: [array(standing() * (-1, -1, 1))],
    "a single frame": lambda: [array(standing()[:1])],
    "the library itself": lambda: ["library"],
    "an action that is not in the library": lambda: [array(standing()[:, ::-1] * 1.3)],
    "the same, with `--classifier`": lambda: [array(standing()[:, ::-1] * 1.3), "--classifier", "classifier"],
}


def test_misuse_is_answered_as_the_page_says(home, tmp_path, monkeypatch, capsys):
    shutil.copytree(home / "clips", tmp_path / "library", ignore=shutil.ignore_patterns("s0_9.npy"))
    monkeypatch.chdir(tmp_path)
    save_encoder(Path("encoder.safetensors"), Network(SHAPE, 25))
    encoder = ["--encoder", "encoder.safetensors", "--like", "demo"]
    run("fit", "library", *encoder, "--group-by", r"(s\d)_")
    table = PAGE.split("| input | what is printed |\n|---|---|\n")[1].split("\n\n")[0]
    rows = dict(line.strip("| ").split(" | ") for line in table.splitlines())
    assert rows.keys() == MISUSED.keys()
    missed = []
    for what, told in rows.items():
        capsys.readouterr()
        words = MISUSED[what]()
        by = [] if "--classifier" in words else [*encoder, "--library", "library"]
        cli.main(["predict", "--device", "cpu", *map(str, (*by, *words))])
        printed = capsys.readouterr()
        lines = re.sub(" {2,}", "  ", printed.err + printed.out).splitlines()
        for one in re.findall("`([^`]+)`", told):
            pattern = ".*".join(map(re.escape, one.split("…")))
            missed += [(what, one, lines)] * (not any(re.fullmatch(pattern, line) for line in lines))
        missed += [(what, printed.err)] * ("`" not in told and printed.err != "")
    assert missed == []


WRONG = {
    ("--group-by", "x(\\d"): "neither a column of a clips.csv nor a regular expression",
    ("--group-by", "subject"): "no match in kick/s0_0.npy: use a column of clips.csv, or another expression",
}


@pytest.mark.parametrize("options", WRONG)
def test_wrong_options_are_one_line(home, options, capsys):
    told = (
        "evaluate",
        str(home / "clips"),
        "--encoder",
        str(home / "encoder.safetensors"),
        "--skeleton",
        "kinect_v2",
        "--device",
        "cpu",
    )
    assert cli.main([*told, *options]) == 2
    assert WRONG[options] in capsys.readouterr().err
    assert cli.main(["predict", str(home / "clips"), "--encoder", "e", "--timeline", "x"]) == 2
    assert "--timeline needs --classifier" in capsys.readouterr().err
