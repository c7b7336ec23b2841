"""Claims: effects against slow versions, verdicts on made-up results, files, and what a wrong claims file says."""

import json

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import ROOT

from stars.errors import InputError
from stars.paper import sources
from stars.paper.claims import effects, judge
from stars.paper.claims.file import load
from stars.pipeline import configuration

CLIPS = 400


def trainings(accuracy, spread, seeds=4, clips=CLIPS, seed=0):
    """(S, N) whether each clip is right, the trainings' own accuracies spread about the mean."""
    rng = np.random.default_rng(seed)
    of_training = accuracy + spread * rng.standard_normal((seeds, 1))
    return (rng.random((seeds, clips)) < of_training).astype(float)


def test_an_interval_is_as_wide_as_that_of_new_clips_and_new_trainings():
    """Against the truth: differences of means over and over, of clips and trainings drawn anew."""
    rng = np.random.default_rng(1)

    def draw():
        clip, training = 20 * rng.standard_normal((1, 300)), 2 * rng.standard_normal((5, 1))
        return 3 + clip + training + 10 * rng.standard_normal((5, 300))

    samples = [draw() for _ in range(200)]
    spread = np.std([one.mean() for one in samples])
    found = [effects.of_means(one, np.zeros_like(one)).draws.std() for one in samples[:40]]
    assert np.mean(found) == pytest.approx(spread, rel=0.15)
    inside = [low <= 3 <= high for low, high in (effects.of_means(one, np.zeros_like(one)).interval for one in samples)]
    assert np.mean(inside) > 0.87  # five trainings alone: somewhat below 95 %


def test_with_one_training_the_interval_is_that_of_clips():
    first, second = trainings(0.7, 0, seeds=1), trainings(0.6, 0, seeds=1, seed=1)
    found = effects.of_means(first, second)
    assert found.value == pytest.approx((first - second).mean())
    assert found.draws.std() == pytest.approx((first - second).std() / CLIPS**0.5, rel=0.05)


def test_a_mean_as_a_statistic_has_the_same_interval():
    first, second = trainings(0.7, 0.02), trainings(0.6, 0.02, seed=1)
    mean = effects.of_means(first, second)
    same = effects.of_statistic(lambda training, rows: (first - second)[training, rows].mean(), 4, CLIPS)
    assert same.value == pytest.approx(mean.value) and same.trainings == pytest.approx(mean.trainings)
    assert same.draws.std() == pytest.approx(mean.draws.std(), rel=0.1)


def test_few_clips_without_a_difference_prove_nothing():
    same = np.ones((1, 12))
    assert effects.of_means(same, same).p_apart(1) < 0.05
    found = effects.of_means(100 * same, 100 * same, largest=100)
    assert found.value == 0 and effects.verdict(found, "equal", 1.0, found.p_apart(1)) == "cannot tell"
    many = np.ones((1, 40_000))
    found = effects.of_means(100 * many, 100 * many, largest=100)
    assert effects.verdict(found, "equal", 1.0, found.p_apart(1)) == "supported"


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_corrects_each_p_as_if_it_were_met_in_order(values):
    found = effects.holm(values)
    slow = {}
    for index in sorted(range(len(values)), key=lambda at: (values[at], at)):
        smaller = [other for other in range(len(values)) if (values[other], other) < (values[index], index)]
        own = min(1.0, (len(values) - len(smaller)) * values[index])
        slow[index] = max([own, *(slow[other] for other in smaller)])
    assert found == pytest.approx([slow[index] for index in range(len(values))])


def effect(value, error):
    return effects.Effect(value, (value, value), np.random.default_rng(0).normal(value, error, 10_000))


@pytest.mark.parametrize(
    ("value", "error", "expect", "expected"),
    [
        (5, 1, "higher", "supported"),
        (5, 1, "lower", "contradicted"),
        (-5, 1, "lower", "supported"),
        (0.2, 0.2, "higher", "no difference"),
        (0.8, 0.05, "higher", "no difference"),  # surely not zero, surely smaller than matters
        (1, 2, "higher", "cannot tell"),
        (0, 0.3, "equal", "supported"),
        (5, 1, "equal", "contradicted"),
        (1, 2, "equal", "cannot tell"),
        (0.2, 0.1, "at_most", "supported"),
        (5, 1, "at_most", "contradicted"),
        (1, 1, "at_most", "cannot tell"),
    ],
)
def test_a_verdict_follows_from_difference_and_certainty(value, error, expect, expected):
    found = effect(value, error)
    assert effects.verdict(found, expect, 1.0, effects.p_value(found, expect, 1.0)) == expected


def test_a_p_value_that_is_small_alone_may_not_be_among_many():
    found = effect(5, 2)
    assert effects.verdict(found, "higher", 1.0, effects.holm([found.p_difference])[0]) == "supported"
    assert effects.verdict(found, "higher", 1.0, effects.holm([found.p_difference] + [0.5] * 30)[0]) == "cannot tell"


def test_the_time_of_one_training_tells_nothing():
    found = effects.of_values([5.0])
    assert effects.verdict(found, "at_most", 25.0, found.p_beyond(25.0)) == "cannot tell"
    assert effects.verdict(effects.of_values([5.0, 6.0, 5.5]), "at_most", 25.0, 0.001) == "supported"


DATA = {"demo": {"dataset": "demo", "simulate": {}, "protocols": ["knn"]}}
METHODS = {
    "mamp": {"pretrain": {}},
    "stars": {"from": "mamp", "tune": {}},
    "queue_64": {"from": "stars", "tune": {"nnclr": {"queue": 64}}},
}
CLAIM = {
    "says": "Tuning helps",
    "source": "Table 2",
    "method": "stars",
    "against": "mamp",
    "measure": "knn",
    "expect": "higher",
    "matters": 1,
}


def planned(folder, claims, **more):
    (folder / "claims.yaml").write_text(yaml.safe_dump(claims))
    given = {
        "data": DATA,
        "methods": METHODS,
        "seeds": [0, 1, 2],
        "few_shot": {"pairs": []},
        "claims": {"file": str(folder / "claims.yaml")},
    }
    return sources.claims(configuration.load({**given, **more}))


def write(path, label, right, rng, **arrays):
    predicted = np.where(right, label, (label + 1) % 4)
    names = np.array([f"clip{number:04}" for number in range(len(label))])
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(
        path, name=names, label=label, predicted=predicted, predicted_k1=predicted, predicted_k10=predicted, **arrays
    )
    return names


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    folder, rng = tmp_path_factory.mktemp("claims"), np.random.default_rng(0)
    told = planned(
        folder,
        {
            "knn": CLAIM,
            "queue": {
                **CLAIM,
                "method": {"vary": "tune.nnclr.queue", "take": "largest"},
                "against": {"vary": "tune.nnclr.queue", "take": "smallest"},
            },
            "ari": {**CLAIM, "measure": "ari", "matters": 5},
            "camera": {**CLAIM, "measure": "same_camera", "expect": "lower"},
            "cost": {**CLAIM, "measure": "training_time", "expect": "at_most", "matters": 25},
            "dino": {**CLAIM, "against": "dino"},
        },
    )
    label = rng.integers(0, 4, CLIPS)
    files = {role: folder / path for role, path in told.files.items()}
    for path in set(files.values()):
        better = "stars" in path.parts[-3]
        if path.suffix == ".npz":
            cluster = np.where(rng.random(CLIPS) < (0.9 if better else 0.6), label, rng.integers(0, 4, CLIPS))
            same = rng.random(CLIPS) < (0.3 if better else 0.5)
            write(path, label, rng.random(CLIPS) < (0.85 if better else 0.6), rng, cluster=cluster, same_camera=same)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(
                json.dumps(
                    {
                        "wall_seconds": 5.0 if "stars" in path.parts[-2] else 100.0,
                        "hardware": {"cpu": "a CPU", "cores": 2},
                        "notes": {},
                    }
                )
            )
    judge.judge(judge.ClaimsStage.model_validate(told.settings), files, folder / "out")
    return folder / "out", {one["claim"]: one for one in json.loads((folder / "out/claims.json").read_text())["claims"]}


def test_claims_are_judged_on_the_results_they_name(judged):
    _, found = judged
    supported = ("knn", "ari", "camera", "cost")
    assert [found[name]["verdict"] for name in supported] == ["supported"] * 4 and found["dino"][
        "verdict"
    ] == "not tested"
    assert found["cost"]["found"]["difference"] == pytest.approx(5.0) and found["cost"]["found"]["clips"] == 0
    assert found["dino"]["reason"] == "this configuration has no method dino"
    assert found["queue"]["methods"] == ["STARS", "QUEUE_64"]
    assert (
        len(found["knn"]["found"]["trainings"]) == 3
        and found["knn"]["found"]["gained"]
        and found["knn"]["found"]["seen"] > 0
    )


def test_every_form_of_the_verdicts_says_the_same(judged):
    out, found = judged
    table = pd.read_csv(out / "claims.csv").set_index("claim")
    text = (out / "claims.md").read_text()
    for name, one in found.items():
        assert table.loc[name, "verdict"] == one["verdict"]
        if one["found"]:
            assert table.loc[name, "difference"] == pytest.approx(one["found"]["difference"])
            assert one["difference"].split(" ")[0] in text
    assert {path.name for path in out.iterdir()} == {*judge.FILES, "record.json"}
    assert (out / "claims.png").read_bytes()[:4] == b"\x89PNG"


def test_results_of_other_clips_are_refused(judged, tmp_path):
    told = planned(tmp_path, {"knn": CLAIM})
    files, rng = {role: tmp_path / path for role, path in told.files.items()}, np.random.default_rng(0)
    for number, path in enumerate(files.values()):
        write(path, rng.integers(0, 4, 50 + number), True, rng)
    with pytest.raises(InputError, match="have different test clips: run the protocol of both again"):
        judge.judge(judge.ClaimsStage.model_validate(told.settings), files, tmp_path / "out")


@pytest.mark.parametrize(
    ("claims", "message"),
    [
        ({"a": {**CLAIM, "method": "starz"}}, r"claims\.yaml: a: method: no method starz: did you mean stars\?"),
        ({"a": {**CLAIM, "expect": "hihger"}}, r"claims\.yaml: a\.expect: expected 'higher', 'lower', 'equal' or 'at_most', found 'hihger'"),
        ({"a": {**CLAIM, "mesure": "knn"}}, r"claims\.yaml: unknown key a\.mesure: did you mean measure\?"),
        ({"a": {**CLAIM, "runs": ["demo_xsbu"]}}, r"a: runs: no run demo_xsbu: did you mean demo_xsub\?"),
        ({"a": {**CLAIM, "method": {"vary": "tune.nnclr.que", "take": "largest"}}}, r"method\.vary: stars has no setting tune\.nnclr\.que"),
        ({"a": {**CLAIM, "method": {"vary": "tune.strategy", "take": "largest"}}}, r"method\.vary: tune\.strategy is not a number"),
        ({"a": {**CLAIM, "expect": "at_most"}}, "expect: at_most and measure: training_time require each other"),
        ({}, "contains no claim"),
    ],
)  # fmt: skip
def test_a_wrong_claims_file_is_one_line(tmp_path, claims, message):
    with pytest.raises(InputError, match=message) as caught:
        planned(tmp_path, claims)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("claim", "more", "reason"),
    [
        ({}, {"knn": {"outputs": ["whitened", "encoder"]}}, "put encoder first in knn.outputs"),
        ({"k": 7}, {}, "knn.k of this configuration lacks 7"),
        ({"measure": "linear"}, {}, "this configuration has no linear results of this kind"),
        ({"measure": "training_time", "expect": "at_most", "against": "scratch"}, {}, "scratch is not trained"),
    ],
)
def test_what_cannot_be_compared_is_left_out_with_the_reason(tmp_path, claim, more, reason):
    told = planned(
        tmp_path,
        {"a": {**CLAIM, **claim}, "b": {**CLAIM, "measure": "silhouette"}},
        methods={**METHODS, "scratch": {}},
        **more,
    )
    first, second = told.settings["tests"]
    assert reason in first["reason"] and second["methods"] == ["STARS", "MAMP"]


def test_claims_none_of_which_can_be_tested_are_a_table_that_says_so(tmp_path):
    told = planned(tmp_path, {"a": {**CLAIM, "against": "dino"}})
    assert not told.files
    judge.judge(judge.ClaimsStage.model_validate(told.settings), {}, tmp_path / "out")
    assert "a: this configuration has no method dino" in (tmp_path / "out/claims.md").read_text()


def test_a_project_without_a_claims_file_has_no_claims_and_one_that_names_one_must_have_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = {"data": DATA, "methods": METHODS}
    assert sources.claims_if_any(configuration.load(given)) is None
    with pytest.raises(InputError, match=r"other\.yaml does not exist"):
        sources.claims_if_any(configuration.load({**given, "claims": {"file": "other.yaml"}}))


def test_the_paper_s_claims_are_tested_wherever_the_paper_reports():
    told = sources.claims(configuration.load_file(ROOT / "config/paper.yaml")).settings["tests"]
    tested = {(one["claim"], one.get("run")) for one in told if not one.get("reason")}
    assert {run for name, run in tested if name == "knn"} == {"ntu60_xsub", "ntu60_xview", "ntu120_xsub", "ntu120_xset"}
    assert {run for name, run in tested if name in ("nnclr_dino", "dino_moco", "augmentation")} == {
        "ntu60_xsub",
        "ntu60_xview",
    }
    assert {run for name, run in tested if name in ("queue", "decay")} == {"ntu60_xsub"}
    assert set(load(ROOT / "config/claims.yaml")) == {one["claim"] for one in told}
