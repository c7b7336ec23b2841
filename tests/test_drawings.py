"""Which results tables and figures are drawn from: the configuration's, and only those."""

import json
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from stars import figure_style, palette
from stars.audit.check import current
from stars.config.paper import TableNumber
from stars.errors import InputError
from stars.paper import comparison, confusion, curves, hyperparameters, published, sources, sweep, tables, times, tsne
from stars.paper.sources.departures import differences
from stars.pipeline import configuration
from stars.report import page

METHODS = {
    "scratch": {"title": "Random"},
    "mamp": {"pretrain": {}},
    "stars": {"from": "mamp", "tune": {}},
    "dino": {"from": "mamp", "tune": {"strategy": "dino"}, "tables": [6]},
    "decay": {"from": "stars", "tune": {"layer_decay": 0.4}, "tables": []},
    "queue": {"from": "stars", "tune": {"nnclr": {"queue": 512}}, "tables": []},
    "both": {"from": "stars", "tune": {"nnclr": {"queue": 512}, "layer_decay": 0.4}, "tables": []},
}
DATA = {
    "ntu60": {"dataset": "ntu60", "raw": "x", "splits": ["xsub", "xview"]},
    "demo": {"dataset": "demo", "simulate": {}},
}
NOVEL = {**DATA, "demo": {"dataset": "ntu120", "raw": "x"}}
PUBLISHED = Path(__file__).parents[1] / "config/published"


@pytest.fixture
def published_columns():
    return {number: set(published.load(PUBLISHED, number).layout.columns) for number in get_args(TableNumber)}


@pytest.fixture
def published_recipes():
    return {
        number: {row.recipe for row in published.load(PUBLISHED, number).rows} - {""}
        for number in get_args(TableNumber)
    }


def config(**more):
    return configuration.load({"data": DATA, "methods": METHODS, "knn": {"k": [1, 10, 20, 40]}, **more})


def cells(drawing):
    return {(run["data"], run["split"], run["variant"], run["method"]) for run in drawing.settings["runs"]}


def test_a_table_has_a_cell_for_each_run_method_and_seed_and_a_file_for_each_cell():
    drawn = sources.table(config(seeds=[0, 7]), 1)
    assert cells(drawn) == {
        (*run, None, name)
        for run in [("ntu60", "xsub"), ("ntu60", "xview"), ("demo", "xsub")]
        for name in METHODS
        if "tables" not in METHODS[name]
    }
    assert len(drawn.settings["runs"]) == 3 * 3 * 2
    assert drawn.files["ntu60_xview/stars/7"] == "results/ntu60_xview/stars-seed7/linear/metrics.json"
    assert drawn.files["predictions of ntu60_xview/stars/0"] == "results/ntu60_xview/stars/linear/predictions.npz"
    assert drawn.settings["pairs"] == [["stars", "mamp"]] and not any(
        "predictions" in role and "scratch" in role for role in drawn.files
    )
    assert {run["data"]: run["counts"] for run in drawn.settings["runs"] if run["split"] == "xsub"} == {
        "ntu60": (40091, 16487),
        "demo": None,
    }


def test_a_method_stands_in_the_tables_that_it_names_and_a_table_shows_what_it_names():
    assert {cell[3] for cell in cells(sources.table(config(), 6))} == {"scratch", "mamp", "stars", "dino"}
    shown = sources.table(config(table11={"methods": ["queue"], "runs": ["ntu60_xview"]}), 11)
    assert cells(shown) == {("ntu60", "xview", f"{k}nn", "queue") for k in (10, 20, 40)}
    assert [run["select"]["k"] for run in shown.settings["runs"]] == [10, 20, 40] and set(shown.files.values()) == {
        "results/ntu60_xview/queue/knn/metrics.json"
    }


def test_protocols_between_data_sets_and_on_subsets_have_a_column_for_each_variant():
    across = {"pairs": [{"source": "ntu60", "target": "demo"}]}
    given = config(
        transfer=across,
        few_shot={**across, "shots": [1, 5], "draws": 2},
        semi={"fractions": [0.01], "subsets": 3},
        data=NOVEL,
    )
    (transfer,) = {
        (run["data"], run["variant"], run["variant_title"]) for run in sources.table(given, 4).settings["runs"]
    }
    assert transfer == ("demo", "from_ntu60_xsub", "from NTU-60 XSub")
    assert (
        sources.table(given, 4).files["demo_xsub_from_ntu60_xsub/mamp/0"]
        == "results/ntu60_xsub/mamp/transfer/demo_xsub/metrics.json"
    )
    few = sources.table(given, 5)
    assert {run["variant"]: run["select"] for run in few.settings["runs"]}["from_ntu60_xsub_5shot"] == {
        "output": "encoder",
        "shots": 5,
    }
    few = {run["variant"].removeprefix("from_ntu60_xsub_"): run for run in few.settings["runs"]}
    assert list(few) == ["1shot", "5shot", "1nn", "5nn"] and few["5shot"]["arrays"] == [
        "predicted_shots5_draw0",
        "predicted_shots5_draw1",
    ]
    assert few["5nn"]["select"] == {"output": "encoder", "reading": "neighbours", "k": 5}
    assert (few["5nn"]["variant_title"], few["5nn"]["arrays"]) == ("k-NN, k = 5", ["predicted_neighbours_k5"])
    assert (few["5shot"]["counts"], few["5nn"]["counts"]) == ((None, 34432), (22935, 34432))
    semi = sources.table(given, 9)
    assert semi.files["ntu60_xview_1pct/stars/0"] == "results/ntu60_xview/stars/semi/0.01/metrics.json"
    assert {run["counts"] for run in semi.settings["runs"] if run["data"] == "ntu60"} == {(None, 16487), (None, 18932)}
    assert semi.settings["runs"][0]["arrays"] == [f"predicted_subset{number}" for number in range(3)]


def test_the_paper_s_columns_are_those_that_its_configuration_asks_for(published_columns):
    paper = configuration.load_file("config/paper.yaml")
    for number, columns in published_columns.items():
        asked = sources.table(paper, number).settings["runs"]
        shown = {"_".join(filter(None, (run["data"], run["split"], run["variant"]))) for run in asked}
        exemplars = {f"ntu120_xsub_from_ntu60_xsub_{n}shot" for n in (1, 2, 5)}  # beside k-NN, which the paper's are
        assert shown == columns | (exemplars if number == 5 else set())
        assert all(run["counts"] for run in asked)


def test_the_paper_s_rows_are_those_that_its_configuration_asks_for(published_recipes):
    paper = configuration.load_file("config/paper.yaml")
    every = configuration.load_file("config/paper.yaml", ["recipes=paper+methods"])
    for number, rows in published_recipes.items():
        shown = {run["method"] for run in sources.table(paper, number).settings["runs"]}
        assert rows & set(paper.methods) <= shown and rows <= set(every.methods), number
    assert sources.table(paper, 8).settings["settings"]["tune.moco.queue"] == 32768
    assert sources.table(paper, 10).settings["settings"]["tune.dino.momentum"] == 0.996
    assert [point["value"] for point in sources.figure(paper, "fig3a").settings["points"]] == [
        0.1,
        0.2,
        0.4,
        0.6,
        0.8,
        1.0,
    ]
    assert len(sources.figure(paper, "fig3b").settings["points"]) == 6
    assert sources.table(paper, 1).settings["notes"] == [
        "Settings that differ from the paper's (in brackets); NTU-120: pretrain.motion.temperature 0.75 (0.8)."
    ]
    times = sources.figure(paper, "fig1").settings["methods"]
    assert {one["method"]: one["trainings"] for one in times}["stars_3stage"] == ["mamp", "stars_heads", "stars_3stage"]


def test_a_method_of_one_s_own_is_compared_with_the_paper_s_of_its_strategy():
    own = {
        "mine": {"from": "moco", "tables": [6]},
        "other": {"from": "mamp", "tune": {"strategy": "dino"}, "tables": [6]},
    }
    known = {**METHODS, "moco": {"from": "mamp", "tune": {"strategy": "moco"}, "tables": [6]}, **own}
    given = config(methods=known, table6={"methods": ["moco", "dino", "mine", "other"]})
    assert not [note for note in sources.table(given, 6).settings["notes"] if "tune" in note]
    known["mine"]["tune"] = {"moco": {"queue": 7}}
    notes = sources.table(config(methods=known, table6={"methods": ["mine"]}), 6).settings["notes"]
    assert all("tune.moco.queue 7 (32768)" in note and "strategy" not in note for note in notes) and notes


def test_a_sweep_takes_the_methods_that_differ_in_one_setting_alone():
    for name, points in (("fig3a", [("stars", 0.2), ("decay", 0.4)]), ("fig3b", [("queue", 512), ("stars", 8192)])):
        drawn = sources.figure(config(), name)
        assert [(point["method"], point["value"]) for point in drawn.settings["points"]] == points
        assert len(drawn.files) == 2
    assert sources.figure(config(fig3={"method": "gone"}), "fig3a").files == {}
    assert sources.figure(config(fig3={"method": "dino"}), "fig3b").files == {}  # it has no queue


def test_training_time_is_that_of_all_trainings_behind_an_encoder():
    drawn = sources.figure(config(), "fig1")
    assert {one["method"]: one["trainings"] for one in drawn.settings["methods"]} == {
        "mamp": ["mamp"],
        "stars": ["mamp", "stars"],
    }
    assert drawn.files["record/mamp/0"] == "results/ntu60_xsub/mamp/record.json"


def test_fig4_draws_the_output_asked_for_where_the_method_has_it():
    drawn = sources.figure(config(fig4={"output": "predictor"}), "fig4")
    assert {name: path.rpartition("/")[2] for name, path in drawn.files.items()} == {
        "scratch": "ntu60_test.npy", "mamp": "ntu60_test.npy", "stars": "ntu60_test_predictor.npy"
    }  # fmt: skip


def test_settings_tables_show_what_the_jobs_are_told_or_nothing():
    given = config(table8={"method": "queue"}, tune={"nnclr": {"temperature": 0.5}})
    told = sources.table(given, 8).settings["settings"]
    own = configuration.stage_settings(given, "tune", "ntu60", "queue")["tune"]
    assert told["tune.nnclr.queue"] == own["nnclr"]["queue"] == 512 and told["tune.nnclr.temperature"] == 0.5
    assert told["tune.optimiser.lr"] == own["optimiser"]["lr"]
    assert sources.table(given, 10).settings["settings"] is None


STAGES = {
    "tables/table1": tables.TableStage,
    "tables/table8": hyperparameters.HyperparametersStage,
    "figures/fig1": times.Fig1Stage,
    "figures/fig3a": sweep.SweepStage,
    "figures/fig4": tsne.Fig4Stage,
    "figures/fig6": confusion.Fig6Stage,
    "demo_xsub/curves": curves.CurvesStage,
    "demo_xsub/comparison": comparison.ComparisonStage,
    "report/": page.ReportStage,
}


@pytest.mark.parametrize("name", STAGES)
def test_the_audit_expects_of_a_drawing_the_settings_that_its_record_will_hold(name):
    told = current.settings(
        configuration.load_file("config/config.yaml"), Path(f"{name}{'' if name.endswith('/') else '.'}record.json")
    )
    assert json.loads(json.dumps(STAGES[name].model_validate(told).model_dump(mode="json"))) == told


def test_a_note_names_every_setting_that_is_not_the_paper_s_and_whose():
    methods = {**METHODS, "mine": {"from": "mamp", "tune": {"nnclr": {"temperature": 0.1}}, "title": "Mine"}}
    given = config(model={"depth": 4}, linear={"epochs": 3}, methods=methods)
    plain, own = sources.table(given, 1).settings["notes"][:2]
    assert plain.endswith("NTU-60: model.depth 4 (8), linear.epochs 3 (100).")
    assert own.endswith("NTU-60, Mine: tune.nnclr.temperature 0.1 (0.07).")
    assert not any("linear" in note for note in sources.table(given, 2).settings["notes"])
    assert sources.table(config(), 1).settings["notes"] == []
    cropped = config(embed={"test_crop": 0.95}, semi={"fractions": [0.05, 0.2], "subsets": 3})
    (note,) = [
        note for note in sources.table(cropped, 9).settings["notes"] if note.count(":") == 1 and "; NTU-60:" in note
    ]
    assert note.endswith(
        "NTU-60: embed.test_crop 0.95 (0.9), semi.fractions [0.05, 0.2] ([0.01, 0.1]), semi.subsets 3 (5)."
    )
    assert differences({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}}) == {"a.c": (2, 3)}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"table6": {"methods": ["dinno"]}}, "table6: no method dinno: did you mean dino?"),
        ({"curves": {"runs": ["ntu60_xsup"]}}, "curves: no run ntu60_xsup: did you mean ntu60_xsub?"),
        ({"fig1": {"data": "ntu6"}}, "fig1: no data set ntu6: did you mean ntu60?"),
        ({"fig3": {"split": "xset"}}, "fig3: no split xset: did you mean xsub?"),
        ({"fig6": {"method": "starz"}}, "fig6: no method starz: did you mean stars?"),
        ({"fig3": {"k": 5}}, r"fig3.k is 5, but knn.k is \[1, 10, 20, 40\]: add it there"),
        ({"methods": {**METHODS, "mamp": {"pretrain": {}, "tables": [8]}}}, "methods.mamp.tables.0: expected 1, 2, 3"),
    ],
)  # fmt: skip
def test_what_is_not_there_cannot_be_drawn(changed, message):
    with pytest.raises(InputError, match=message):
        config(**changed)


def test_no_two_classes_share_a_colour_and_each_keeps_its_own_however_many_there_are():
    for found in (palette.colours(120), palette.on_dark(120)):
        assert len(set(found)) == 120
    assert palette.colours(20) == palette.colours(60)[:20] and palette.on_dark(20) == palette.on_dark(60)[:20]
    near = np.array([palette._lab(colour) for colour in palette.colours(20)])
    apart = np.linalg.norm(near[:, None] - near[None], axis=2) + np.eye(20)
    assert apart.min() > 0.07  # in OKLab, where .02 is just seen


@pytest.mark.parametrize(
    "text", ["t-SNE of test features, Simulated XSub: 15 classes, 450 clips", "one", "", "a " * 70]
)
def test_the_lines_of_a_title_are_of_about_one_length(text):
    lines = figure_style.fitted(text).split("\n")
    assert max(map(len, lines)) <= figure_style.LINE and " ".join(lines).split() == text.split()
    assert len(lines) < 2 or min(map(len, lines)) > max(map(len, lines)) / 2
