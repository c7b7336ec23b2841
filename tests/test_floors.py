"""Floors and the page of all protocols: rescaled features against scikit-learn, joint positions against a plain
loop, cells against their files.
"""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler
from tiny import messages, project, snakemake

from stars.config import Joints, Knn
from stars.data.dataset import Split
from stars.data.splits import test_clips as clips_that_test
from stars.data.splits import training_clips
from stars.data.store import ClipStore
from stars.errors import InputError
from stars.evaluation import joints, knn
from stars.evaluation.rescale import standardised, whitened
from stars.paper import sources
from stars.paper.comparison import ComparisonStage, comparison, duration
from stars.pipeline import configuration
from stars.training.collapse import effective_rank

RNG = np.random.default_rng(0)
FEATURES = RNG.normal(size=(90, 12)) @ RNG.normal(size=(12, 12)) + 5
TRAIN, TEST = FEATURES[:60], FEATURES[60:]


def test_standardised_and_whitened_features_are_scikit_learns_of_the_training_clips_alone():
    np.testing.assert_allclose(standardised(TRAIN)(TEST), StandardScaler().fit(TRAIN).transform(TEST), atol=1e-9)
    ours, theirs = whitened(TRAIN)(TEST), PCA(whiten=True, svd_solver="full").fit(TRAIN).transform(TEST)
    # a direction's sign is free, and no cosine sees it
    np.testing.assert_allclose(np.abs(ours), np.abs(theirs), rtol=1e-6)
    np.testing.assert_allclose(np.cov(whitened(TRAIN)(TRAIN).T), np.eye(12), atol=1e-9)
    assert np.abs(np.cov(ours.T) - np.eye(12)).max() > 0.1  # the test clips were not looked at


def test_directions_in_which_training_clips_do_not_differ_do_not_count():
    # a constant, and a copy
    flat, tested = (np.concatenate([one, np.full((len(one), 1), 3), one[:, :1]], axis=1) for one in (TRAIN, TEST))
    near = {"rtol": 1e-6, "atol": 1e-6}
    np.testing.assert_allclose(
        standardised(flat)(tested), np.insert(standardised(with_copy(TRAIN))(with_copy(TEST)), 12, 0, axis=1), **near
    )
    np.testing.assert_allclose(
        distances(whitened(flat)(tested)), distances(whitened(doubled(TRAIN))(doubled(TEST))), **near
    )
    # N − 1 directions: all equally far from one another
    few = distances(whitened(TRAIN[:5])(TRAIN[:5]))[~np.eye(5, dtype=bool)]
    np.testing.assert_allclose(few, few[0], rtol=1e-6)
    assert not whitened(np.ones((5, 3), np.float32))(TEST[:, :3]).any()


def with_copy(values: np.ndarray) -> np.ndarray:
    """With the first feature once more."""
    return np.concatenate([values, values[:, :1]], axis=1)


def doubled(values: np.ndarray) -> np.ndarray:
    """The first feature as long as it and its copy are together."""
    return np.concatenate([np.sqrt(2) * values[:, :1], values[:, 1:]], axis=1)


def distances(values: np.ndarray) -> np.ndarray:
    return np.linalg.norm(values[:, None] - values, axis=2)


@pytest.mark.parametrize("rescaled", [standardised, whitened])
def test_rounding_does_not_decide_what_counts(rescaled):
    """A direction as small as float32's rounding, whichever way it was rounded, changes no distance."""
    scales = np.geomspace(1, 1e-3, 12)
    train, tested = TRAIN @ np.diag(scales), TEST @ np.diag(scales)
    for seed in range(5):
        rng = np.random.default_rng(seed)
        noisy = [np.concatenate([one, 1e-7 * rng.normal(size=(len(one), 1))], axis=1) for one in (train, tested)]
        np.testing.assert_allclose(
            distances(rescaled(noisy[0])(noisy[1])), distances(rescaled(train)(tested)), atol=0.05
        )


def test_knn_compares_rescaled_features_beside_the_plain_ones(made, tmp_path):
    """On features that vary alike in all directions: those of the toy's encoder vary in a few alone, where rounding
    decides who is nearest.
    """
    shutil.copytree(made / "features", tmp_path / "features")
    for part in ("train", "test"):
        path = tmp_path / f"features/toy_{part}.npy"
        own = np.load(path)
        spread = (
            np.random.default_rng(len(part)).normal(size=own.shape)
            + 2 * ClipStore.open(made / "clips").labels[np.load(made / f"{part}.npy")][:, None]
        )
        np.save(path, spread.astype(np.float32))
    told = knn.KnnStage(
        knn=Knn(k=(1, 3), outputs=("encoder", "whitened", "standardised", "projector")), outputs=("encoder",)
    )
    knn.evaluate(tmp_path / "features", "toy", made / "clips", made / "train.npy", made / "test.npy", tmp_path, told)
    found = json.loads((tmp_path / "metrics.json").read_text())
    assert [(entry["output"], entry["k"]) for entry in found["results"]] == [
        (o, k) for o in told.knn.outputs[:3] for k in (1, 3)
    ]
    assert {"train_encoder", "test_encoder"} <= set(json.loads((tmp_path / "record.json").read_text())["inputs"])
    labels = ClipStore.open(made / "clips").labels
    train, test = (np.load(tmp_path / f"features/toy_{part}.npy").astype(np.float64) for part in ("train", "test"))
    for output, rescale in (("whitened", PCA(whiten=True, svd_solver="full")), ("standardised", StandardScaler())):
        fitted = rescale.fit(train)
        slow = KNeighborsClassifier(1, metric="cosine", algorithm="brute").fit(
            fitted.transform(train), labels[np.load(made / "train.npy")]
        )
        accuracy = 100 * slow.score(fitted.transform(test), labels[np.load(made / "test.npy")])
        assert next(
            entry["top1"] for entry in found["results"] if entry["output"] == output and entry["k"] == 1
        ) == pytest.approx(accuracy, abs=1e-3)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 9), st.integers(1, 2), st.integers(1, 7), st.integers(0, 2**32 - 1))
def test_joint_positions_are_interpolated_joint_by_joint(length, bodies, frames, seed):
    rng = np.random.default_rng(seed)
    clip = rng.normal(size=(length, bodies, 3, 3)).astype(np.float32) * rng.integers(0, 2, (length, bodies, 1, 1))
    slow = np.zeros((frames, bodies, 3, 3))
    for body, joint, axis in np.ndindex(bodies, 3, 3):
        seen = clip[:, body].any(axis=(1, 2))
        own = np.where(seen, clip[:, body, joint, axis] - clip[:, body, 1, axis], 0)
        slow[:, body, joint, axis] = np.interp(np.linspace(0, length - 1, frames), np.arange(length), own)
    np.testing.assert_allclose(joints.positions(clip, 1, frames), slow.ravel(), atol=1e-5)


def test_joint_positions_are_features_that_knn_reads(made, tmp_path):
    told = joints.JointsStage(joints=Joints(frames=8), root=1)
    paths = made / "clips", made / "train.npy", made / "test.npy"
    joints.describe(*paths, tmp_path, "toy", told)
    knn.evaluate(tmp_path, "toy", *paths, tmp_path / "knn", knn.KnnStage(knn=Knn(k=(1,)), outputs=("encoder",)))
    assert json.loads((tmp_path / "knn/metrics.json").read_text())["top1"] > 80  # the toy's classes move differently
    assert set(json.loads((tmp_path / "toy.record.json").read_text())["outputs"]) == {"toy_train.npy", "toy_test.npy"}
    with pytest.raises(InputError, match="root is joint 5, but the clips have 5 joints"):
        joints.describe(*paths, tmp_path, "toy", told.model_copy(update={"root": 5}))


DATA = {"utd_mhad": {"dataset": "utd_mhad", "raw": "x"}}
METHODS = {
    "mamp": {"pretrain": {}},
    "raw": {"joints": {"frames": 8}, "protocols": ["knn"]},
    "scratch": {},
    "stars": {"from": "mamp", "tune": {}},
}


def configured(data=DATA, **more) -> configuration.Config:
    return configuration.load({"data": data, "methods": METHODS, **more})


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (
            {"joints": {}},
            r"methods\.own: joint positions support only protocols without training: give protocols: \[knn, few_shot\]",
        ),
        ({"from": "raw", "tune": {}, "protocols": ["knn"]}, r"methods\.own: joint positions cannot be trained"),
    ],
)
def test_joint_positions_refuse_what_needs_an_encoder(method, message):
    with pytest.raises(InputError, match=message):
        configuration.method(configured(methods={**METHODS, "own": method}), "utd_mhad", "own")


def planned_page(data=DATA, **more):
    pair = {"source": "utd_mhad", "source_split": "base", "target": "utd_mhad"}
    changes = {
        "knn": {"outputs": ["encoder", "whitened"]},
        "few_shot": {"pairs": [pair], "shots": [1]},
        "semi": {"fractions": [0.1]},
    }
    return sources.comparison(configured(data, seeds=[0, 1], **changes, **more), "utd_mhad", "xsub")


def test_an_ensemble_has_a_row_and_no_curve_of_its_own():
    both = {"both": {"ensemble": {"mamp": 0.5, "stars": 0.5}, "protocols": ["knn"]}}
    page = sources.comparison(configured(methods={**METHODS, **both}), "utd_mhad", "xsub")
    assert next(row for row in page.settings["methods"] if row["method"] == "both")["trainings"] == ["mamp", "stars"]
    assert "curve/stars/0" in page.files and "curve/both/0" not in page.files
    drawn = sources.curves(configured(methods={**METHODS, **both}), "utd_mhad", "xsub")
    assert [panel["method"] for panel in drawn.settings["panels"]] == ["mamp", "stars"]


def test_a_network_of_a_training_has_the_training_s_curve():
    trained = {"cmd": {"train": {"objective": "cmd"}}, "cmd_bone": {"from": "cmd", "network": "bone"}}
    config = configured(methods={**METHODS, **trained})
    page = sources.comparison(config, "utd_mhad", "xsub")
    assert page.files["curve/cmd_bone/0"] == page.files["curve/cmd/0"] == "results/utd_mhad_xsub/cmd/curve.csv"
    assert [panel["method"] for panel in sources.curves(config, "utd_mhad", "xsub").settings["panels"]] == [
        "mamp",
        "stars",
        "cmd",
    ]


def test_the_page_has_every_protocol_and_only_what_a_method_is_evaluated_by():
    page = planned_page()
    cells = {(run["variant"], run["method"]) for run in page.settings["runs"]}
    every = {"knn_encoder", "knn_whitened", "linear", "finetune", "semi_10pct"}
    every |= {f"few_shot_from_utd_mhad_base_{reading}" for reading in ("1shot", "1nn")}
    assert cells == {(one, name) for one in every for name in METHODS if name != "raw"} | {
        ("knn_encoder", "raw"),
        ("knn_whitened", "raw"),
    }
    assert page.files["utd_mhad_xsub_linear/stars/1"] == "results/utd_mhad_xsub/stars-seed1/linear/metrics.json"
    few = "utd_mhad_xsub_few_shot_from_utd_mhad_base_1shot/mamp/0"
    assert page.files[few] == "results/utd_mhad_base/mamp/few_shot/utd_mhad_xsub/metrics.json"
    assert {role for role in page.files if role.startswith("record")} == {
        f"record/{name}/{seed}" for name in ("mamp", "stars") for seed in (0, 1)
    }
    assert {role.split("/")[1] for role in page.files if role.startswith("curve")} == {"mamp", "stars"}


def test_the_page_shows_transfer_onto_other_joints_of_the_same_files():
    blocks = {
        "sim": {"dataset": "demo", "simulate": {}, "ingest": {"joints": "common"}, "protocols": []},
        "utd_common": {"like": "utd_mhad", "ingest": {"joints": "common"}, "protocols": []},
        "others": {"dataset": "utd_mhad", "raw": "y", "ingest": {"joints": "common"}, "protocols": []},
    }
    pairs = [{"source": "sim", "target": target} for target in ("utd_common", "others")]
    page = planned_page(data={**DATA, **blocks}, transfer={"pairs": pairs})
    shown = [run for run in page.settings["runs"] if "transfer" in run["variant"]]
    assert {run["variant_title"] for run in shown} == {"transfer from Simulated XSub, common joints"}
    assert {(run["method"], run["data"]) for run in shown} == {(name, "utd_mhad") for name in METHODS if name != "raw"}
    assert (
        page.files["utd_mhad_xsub_transfer_from_sim_xsub/mamp/1"]
        == "results/sim_xsub/mamp-seed1/transfer/utd_common_xsub/metrics.json"
    )


def written(root: Path, files: dict[str, str]) -> dict[str, Path]:
    """Small files of every kind that the page reads; accuracies are 10, 11, 12, … in the order of the roles."""
    found = {}
    for number, (role, path) in enumerate(files.items()):
        found[role] = root / path
        found[role].parent.mkdir(parents=True, exist_ok=True)
        if path.endswith(".npy"):
            np.save(found[role], np.random.default_rng(number).normal(size=(9, 4)).astype(np.float32))
        elif path.endswith("curve.csv"):
            found[role].write_text("step,epoch,loss,lr,self_matches\n10,1,0,0,0.5\n20,2,0,0,0.25\n")
        elif path.endswith("record.json"):
            seconds = 100 if "mamp" in path else 20
            found[role].write_text(
                json.dumps(
                    {"wall_seconds": seconds, "notes": {}, "hardware": {"cpu": "A CPU", "cores": 2, "threads": 1}}
                )
            )
    for number, role in enumerate(role for role in files if role.startswith("utd_mhad")):
        known = json.loads(found[role].read_text())["results"] if found[role].exists() else []
        select = {"output": "whitened" if "whitened" in role else "encoder", "k": 1}
        select |= {"reading": "neighbours"} if "_1nn" in role else {"shots": 1}
        entry = {"top1": 10 + number, "std": None, **select}
        found[role].write_text(
            json.dumps(
                {"train_clips": 431, "test_clips": 430, "top1": 10 + number, "std": None, "results": [*known, entry]}
            )
        )
    return found


def test_the_page_shows_the_means_of_its_files(tmp_path):
    page = planned_page()
    files = written(tmp_path, page.files)
    comparison(ComparisonStage.model_validate(page.settings), files, tmp_path / "out")
    with (tmp_path / "out/comparison.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    cells = {(line["recipe"], line["column"]): line for line in lines}
    tops = [json.loads(files[f"utd_mhad_xsub_linear/stars/{seed}"].read_text())["top1"] for seed in (0, 1)]
    assert float(cells["stars", "utd_mhad_xsub_linear"]["value"]) == np.mean(tops)
    assert float(cells["stars", "utd_mhad_xsub_linear"]["std"]) == pytest.approx(np.std(tops, ddof=1))
    assert cells["stars", "seconds"]["value"] == "2 min 0 s" and cells["mamp", "seconds"]["value"] == "1 min 40 s"
    ranks = [float(line) for line in cells["raw", "rank"]["values"].split(";")]
    features = [np.load(files[f"features/raw/{seed}"]) for seed in (0, 1)]
    assert ranks == pytest.approx([effective_rank(torch.from_numpy(one)) for one in features])
    assert (cells["stars", "steps"]["value"], cells["stars", "self_matches"]["value"]) == ("20", "25")
    assert cells["raw", "utd_mhad_xsub_linear"]["reason"] and cells["scratch", "seconds"]["reason"] == "Not trained."
    assert list(dict.fromkeys(line["recipe"] for line in lines)) == ["raw", "scratch", "mamp", "stars"]  # floors first
    text = (tmp_path / "out/comparison.md").read_text()
    assert "431 training, 430 test clips" in text and "A CPU, 1 thread" in text and "over 2 seeds" in text


@pytest.mark.parametrize(("seconds", "words"), [(44.6, "45 s"), (200, "3 min 20 s"), (7500, "2 h 5 min")])
def test_durations_are_said_in_two_units(seconds, words):
    assert duration(seconds) == words


def test_the_ablation_is_laid_over_the_comparison_and_never_sees_the_test_split():
    root = Path(__file__).parents[1] / "config"
    both = configuration.merge(
        configuration.read_yaml(root / "utd_mhad.yaml"), configuration.read_yaml(root / "ablation_utd_mhad.yaml")
    )
    config = configuration.load(both)
    assert sources.comparison_runs(config) == [("utd_mhad", "held")]
    page = sources.comparison(config, "utd_mhad", "held")
    assert all("/utd_mhad_held/" in path for path in page.files.values())
    split = configuration.dataset(config, "utd_mhad").splits["held"]
    assert {*split.train, *split.test} == {*configuration.dataset(config, "utd_mhad").splits["xsub"].train}
    assert {"base", "held", "xsub"} == {*configuration.dataset(config, "utd_mhad").splits}


def test_a_split_can_leave_out_subjects_and_actions():
    table = pd.DataFrame({"subject": [1, 2, 3, 7, 7, 1], "action": [1, 1, 1, 1, 2, 2]})

    def sides(**keys) -> tuple[list[int], list[int]]:
        chosen = Split(title="", by="subject", train=(1, 3), **keys)
        trains = training_clips(table, chosen)
        return np.flatnonzero(trains).tolist(), np.flatnonzero(clips_that_test(table, chosen, trains)).tolist()

    assert sides() == ([0, 2, 5], [1, 3, 4])
    assert sides(test=(7,)) == ([0, 2, 5], [3, 4])
    assert sides(actions=(1,)) == ([0, 2], [1, 3])
    assert sides(test=(7,), actions=(2,)) == ([5], [4])
    with pytest.raises(InputError, match="test requires train as a list of values, and must not overlap it"):
        configuration.validate(Split, {"title": "", "by": "subject", "train": [1, 7], "test": [7]}, "x.yaml")


def test_the_comparison_page_asks_for_joint_positions_of_both_splits_and_no_encoder_of_them(tmp_path):
    folder = project(tmp_path / "project")
    raw = folder / "raw"
    raw.mkdir()
    found = snakemake(
        folder,
        "--dry-run",
        "--config",
        f'data={{"utd_mhad": {{"raw": "{raw}"}}}}',
        config=("config/utd_mhad.yaml", "--", "comparison"),
    )
    assert found.returncode == 0, found.stdout + found.stderr
    jobs = set(messages(found.stdout))
    assert {
        "Joint positions: utd_mhad xsub raw_joints",
        "KNN: utd_mhad xsub raw_joints",
        "Comparison: utd_mhad xsub",
    } <= jobs
    assert {"Joint positions of another data set: utd_mhad base raw_joints on utd_mhad xsub"} <= jobs
    assert {job for job in jobs if "raw_joints" in job and not job.startswith(("Joint", "KNN", "Few-shot"))} == set()
    assert not any("base" in job and job.startswith(("KNN", "Linear", "Fine-tune", "Semi")) for job in jobs)
    onto = {job for job in jobs if job.startswith("Transfer")}  # between joint layouts
    assert onto == {f"Transfer: kinect_v2 xsub {name} on utd_mhad_common xsub" for name in ("scratch", "mamp", "stars")}
