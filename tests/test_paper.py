"""Published numbers, tables and figures.

tests/data/published_numbers.json is a transcription of the numbers in the paper's tables: for each table its rows, for
each row the number in the list of references (or null) and the values in reading order (null where the paper prints a
dash); for Tables 8 and 10, which hold settings, name and value. `STARS_PAPER_TEXT=stars.txt python tests/test_paper.py`
wrote it, from the paper as text, with `transcribe` below.
"""

import csv
import io
import itertools
import json
import os
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.text import Text

from stars import figure_style, palette
from stars.errors import InputError
from stars.evaluation.projection import perplexity, tsne, unit
from stars.evaluation.statistics import mean_std, paired_p
from stars.paper import grid, hyperparameters, published, tables
from stars.paper import tsne as projected
from stars.paper.confusion import confusion, number_cells
from stars.paper.costs import Cost
from stars.paper.figures import (
    CurvesStage,
    Fig1Stage,
    Fig4Stage,
    Fig6Stage,
    SweepStage,
    curves,
    fig1,
    fig4,
    fig6,
    sweep,
)
from stars.paper.inputs import Panel
from stars.paper.labels import apart
from stars.paper.results import NOT_RUN, REHEARSED, Run
from stars.paper.sources import tables as sources
from stars.paper.sweep import Point
from stars.paper.tables import TableStage
from stars.paper.times import Trained, training_seconds
from stars.paper.tsne import Features, spread
from stars.pipeline import configuration

ROOT = Path(__file__).resolve().parents[1]
PUBLISHED = ROOT / "config" / "published"
NUMBERS = ROOT / "tests" / "data" / "published_numbers.json"
TABLES = (1, 2, 3, 4, 5, 6, 7, 9, 11)
SETTINGS = (8, 10)
SCRIPT = "<script>alert(1)</script> & $x_1$ | 50 %"


def transcribe(text: str) -> dict[str, list]:
    """Rows of numbers of every table: the paragraph after its caption, lines with tabs and at least one value."""
    found = {}
    for number in TABLES:
        body = re.split(r"\n\s*\n", text[re.search(rf"^Table {number}\. ", text, re.MULTILINE).start() :])[1]
        cells = [re.findall(r"\t(?:<u>)?(\d+\.\d|-)(?:</u>)?\*?(?=\t|$)", line) for line in body.splitlines()]
        references = [re.search(r"\[(\d+)\]", line) for line in body.splitlines()]
        found[str(number)] = [
            [int(reference[1]) if reference else None, [None if cell == "-" else float(cell) for cell in row]]
            for reference, row in zip(references, cells, strict=True)
            if any(cell != "-" for cell in row)
        ]
    for number in SETTINGS:
        body = re.split(r"\n\s*\n", text[re.search(rf"^Table {number}\. ", text, re.MULTILINE).start() :])[1]
        found[str(number)] = [line.split("\t") for line in body.splitlines()[1:]]
    return found


@pytest.mark.parametrize("number", TABLES)
def test_published_numbers_are_the_papers_and_no_others(number):
    table = published.load(PUBLISHED, number)
    ours = [[row.reference, [row.values.get(column) for column in table.layout.columns]] for row in table.rows]
    assert ours == json.loads(NUMBERS.read_text())[str(number)]
    if path := os.environ.get("STARS_PAPER_TEXT"):
        assert ours == transcribe(Path(path).read_text())[str(number)]


@pytest.mark.parametrize("number", SETTINGS)
def test_published_settings_are_the_papers_and_no_others(number):
    ours = [[row.name, row.value] for row in hyperparameters.load(PUBLISHED / f"table{number}.csv")]
    assert ours == json.loads(NUMBERS.read_text())[str(number)]
    if path := os.environ.get("STARS_PAPER_TEXT"):
        assert ours == transcribe(Path(path).read_text())[str(number)]


def test_published_recipes_are_unique_and_marks_are_the_papers():
    for number in TABLES:
        recipes = [row.recipe for row in published.load(PUBLISHED, number).rows if row.recipe]
        assert recipes and len(recipes) == len(set(recipes))
    marked = [
        (row.method, row.reproduced)
        for number in TABLES
        for row in published.load(PUBLISHED, number).rows
        if row.reproduced
    ]
    assert marked == [("MAMP", frozenset({"pku2_xsub"}))]


def test_what_stands_under_a_table_of_choices_is_a_point_of_the_fidelity_page(tmp_path):
    page = (ROOT / "docs/fidelity.md").read_text()
    points = {line.split("|")[1].strip() for line in page.splitlines() if line.startswith("| ")}
    for number in TABLES:
        chosen = published.load(PUBLISHED, number).layout.chosen
        assert chosen and set(chosen) <= points
    build(tmp_path, 2, [(run(), 50, (90, 30))])
    assert "output that KNN compares – the pooled encoder" in (tmp_path / "out/table2.md").read_text()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("50.7", "5O.7", "table2.csv, line 2"),
        ("citation,", "", "line 2: the columns must be"),
        (",4", ",4,4", "line 2: the columns must be"),
    ],
)
def test_a_damaged_published_file_is_named_with_its_line(tmp_path, old, new, message):
    for file in ("tables.yaml", "table2.csv"):
        (tmp_path / file).write_text((PUBLISHED / file).read_text())
    (tmp_path / "table2.csv").write_text((PUBLISHED / "table2.csv").read_text().replace(old, new, 1))
    with pytest.raises(InputError, match=re.escape(message)):
        published.load(tmp_path, 2)


def run(method="mamp", data="demo", seed=0, **more):
    facts = {"title": method.upper(), "data_title": data.upper(), "split": "xsub", "split_title": "XSub", **more}
    return Run(method=method, data=data, seed=seed, **facts)


def metrics(folder, of, top1, clips=(40091, 16487)):
    path = folder / of.name / "metrics.json"
    path.parent.mkdir(parents=True)
    results = [{"output": output, "k": k, "top1": top1 - k + 1} for output in ("predictor", "encoder") for k in (10, 1)]
    path.write_text(json.dumps({"train_clips": clips[0], "test_clips": clips[1], "top1": 1.25, "results": results}))
    return path


def build(tmp_path, number, results, **more):
    """Build a table of [(run, top-1, clips), …]; the lines of its csv by (origin, recipe, column). No top-1: no
    metrics file.
    """
    paths = {of.name: metrics(tmp_path / "in", of, *value) for of, *value in results if value}
    out = tmp_path / "out"
    tables.build(TableStage(number=number, runs=tuple(of for of, *_ in results), **more), paths, PUBLISHED, out)
    lines = csv.DictReader(io.StringIO((out / f"table{number}.csv").read_text()))
    return {(line["origin"], line["recipe"] or line["method"], line["column"]): line for line in lines}


def test_cells_come_from_the_selected_result_and_name_their_sources(tmp_path):
    results = [(run(seed=seed), 50.123 + seed, (90, 30)) for seed in (0, 1, 2)]
    cell = build(tmp_path, 2, results)["this run", "mamp", "demo_xsub"]
    assert float(cell["value"]) == pytest.approx(51.123) and float(cell["std"]) == pytest.approx(1)
    assert cell["seeds"] == "0;1;2" and list(map(float, cell["values"].split(";"))) == [50.123, 51.123, 52.123]
    for source, value in zip(cell["source"].split(";"), cell["values"].split(";"), strict=True):
        shown = [
            entry
            for entry in json.loads(Path(source).read_text())["results"]
            if entry["output"] == "encoder" and entry["k"] == 1
        ]
        assert shown[0]["top1"] == float(value)
    assert "51.1 ± 1.0" in (tmp_path / "out" / "table2.md").read_text()
    record = json.loads((tmp_path / "out" / "table2.record.json").read_text())
    assert set(record["inputs"]) == {"layout", "published", *(of.name for of, *_ in results)}


def test_the_headline_is_shown_where_the_table_selects_nothing(tmp_path):
    assert build(tmp_path, 1, [(run(), 50, (90, 30))])["this run", "mamp", "demo_xsub"]["value"] == "1.25"


def test_only_the_papers_complete_data_is_ranked_and_compared(tmp_path):
    whole, part = (
        run("stars", "ntu60", seed=0, counts=(40091, 16487)),
        run("mamp", "ntu60", seed=0, counts=(40091, 16487)),
    )
    simulated = run("stars", "demo")
    lines = build(tmp_path, 2, [(whole, 81.04), (part, 99.0, (400, 160)), (simulated, 98.0, (90, 30))])
    assert (
        lines["this run", "stars", "ntu60_xsub"]["rank"] == "1"
        and lines["published", "stars", "ntu60_xsub"]["rank"] == "2"
    )
    assert float(lines["difference", "stars", "ntu60_xsub"]["value"]) == pytest.approx(81.04 - 79.9)
    assert (
        lines["this run", "mamp", "ntu60_xsub"]["value"] == ""
        and lines["this run", "mamp", "ntu60_xsub_partial"]["value"] == "99.0"
    )
    for column in ("ntu60_xsub_partial", "demo_xsub"):
        assert all(
            not line["value"] for (origin, _, name), line in lines.items() if name == column and origin != "this run"
        )
        assert all(not line["rank"] for (_, _, name), line in lines.items() if name == column)
    assert all(bool(line["value"]) != bool(line["reason"]) for line in lines.values())
    caption = (tmp_path / "out" / "table2.md").read_text().splitlines()[0]
    assert "measured on NTU60 XSub (40,091 training, 16,487 test clips)" in caption
    assert (
        "NTU60 XSub (400 training, 160 test clips); DEMO XSub (90 training, 30 test clips) are NOT results on NTU"
        in caption
    )


def test_a_row_of_this_run_stands_after_the_published_row_of_its_method(tmp_path):
    build(tmp_path, 1, [(run("mine"), 40, (90, 30)), (run("stars"), 50, (90, 30)), (run("mamp"), 45, (90, 30))])
    rows = list(
        dict.fromkeys(
            (line["origin"], line["group"], line["method"])
            for line in csv.DictReader((tmp_path / "out/table1.csv").open())
        )
    )
    place = {(origin, method): number for number, (origin, _, method) in enumerate(rows)}
    groups = {(origin, method): group for origin, group, method in rows}
    assert (
        place["this run", "MAMP"] == place["published", "MAMP"] + 1
        and groups["this run", "MAMP"] == "Masked prediction"
    )
    assert place["this run", "STARS"] == place["published", "STARS"] + 1
    assert place["this run", "MINE"] == len(rows) - 1 and groups["this run", "MINE"] == "This run"


def test_a_screen_shows_the_columns_that_this_run_has_and_files_all(tmp_path):
    build(tmp_path, 2, [(run(), 50, (90, 30))])
    shown, page = json.loads((tmp_path / "out/table2.json").read_text()), (tmp_path / "out/table2.html").read_text()
    assert [column["key"] for column in shown["columns"]] == ["demo_xsub"] and {
        row["origin"] for row in shown["rows"]
    } == {"this run"}
    assert (
        "NTU-60" not in re.sub(r"<caption.*?</caption>|<li>.*?</li>", "", page, flags=re.DOTALL)
        and "table2.csv, .md and .tex have 4 more columns and 8 more rows, without values of this run." in page
    )
    assert "NTU-60 XSub" in (tmp_path / "out/table2.md").read_text()
    for text, cited in ((page, False), ((tmp_path / "out/table2.md").read_text(), True)):
        assert ("Published values are cited from the paper." in text) is cited
    whole = run("mamp", "ntu60", counts=(40091, 16487))
    build(tmp_path / "more", 2, [(whole, 64.0)])
    shown = json.loads((tmp_path / "more/out/table2.json").read_text())
    assert [column["key"] for column in shown["columns"]] == ["ntu60_xsub"] and len(
        shown["rows"]
    ) == 10  # eight published, ours, a difference


def test_work_after_the_paper_is_shown_where_it_is_asked_for(tmp_path):
    lines = build(tmp_path, 2, [(run(), 50, (90, 30))], newer=True)
    assert (
        lines["published", "PCM³", "ntu60_xsub"]["value"] == "73.7"
        and lines["published", "PCM³", "ntu60_xsub"]["group"] == published.LATER
    )
    assert "github.com/JHang2020" in (tmp_path / "out/table2.md").read_text()
    assert ("published", "PCM³", "ntu60_xsub") not in build(tmp_path / "without", 2, [(run(), 50, (90, 30))])
    build(tmp_path / "none", 4, [], newer=True)
    assert "no numbers found for this protocol" in (tmp_path / "none/out/table4.md").read_text()
    text = (PUBLISHED / "newer.csv").read_text()
    for old, new, message in (
        ("73.7", "7E.7", "newer.csv, line 50"),
        ("ntu60_xsub,73.7", "ntu61,73.7", "Table 2 has no column ntu61"),
    ):
        for file in ("tables.yaml", "table2.csv"):
            (tmp_path / file).write_text((PUBLISHED / file).read_text())
        (tmp_path / "newer.csv").write_text(text.replace(old, new, 1))
        with pytest.raises(InputError, match=message):
            published.load(tmp_path, 2, newer=True)


def test_columns_say_what_a_method_costs(tmp_path):
    def record(name: str, seconds: float, **notes: float) -> Path:
        path = tmp_path / f"{name}.json"
        hardware = {"cpu": "a processor", "cores": 2}
        path.write_text(
            json.dumps({"wall_seconds": seconds, "hardware": hardware, "notes": {"encoder": notes} if notes else {}})
        )
        return path

    files = {
        "record/mamp/0": record("mamp", 60, parameters=2e6, operations=3.5e9),
        "record/stars/0": record("stars", 30),
    }
    results = [(run(name), 50, (90, 30)) for name in ("mamp", "stars", "joints")]
    files |= {of.name: metrics(tmp_path / "in", of, *value) for of, *value in results}
    costs = [Cost(method="mamp", encoders=("mamp",), trainings=("mamp",), seeds=(0,))]
    costs.append(Cost(method="stars", encoders=("stars",), trainings=("mamp", "stars"), seeds=(0,)))
    costs.append(Cost(method="joints", seeds=(0,)))
    told = {"columns": ("parameters", "operations", "training"), "costs": tuple(costs)}
    tables.build(TableStage(number=2, runs=tuple(of for of, *_ in results), **told), files, PUBLISHED, tmp_path / "out")
    lines = {
        line["recipe"]: line
        for line in csv.DictReader((tmp_path / "out/table2.csv").open())
        if line["origin"] == "this run"
    }
    found = {name: [lines[name][column] for column in told["columns"]] for name in lines}
    assert found == {
        "mamp": ["2 M", "3.5 GFLOP", "1 min 0 s"],
        "stars": ["–", "–", "1 min 30 s"],
        "joints": ["", "", ""],
    }
    assert "| Parameters | Operations | Training |" in (tmp_path / "out/table2.md").read_text()
    files["record/mamp/0"].write_text("[]")
    with pytest.raises(InputError, match=r"mamp\.json is not the record of an encoder"):
        tables.build(
            TableStage(number=2, runs=tuple(of for of, *_ in results), **told), files, PUBLISHED, tmp_path / "out"
        )


def test_few_shot_stands_in_both_readings_and_the_paper_beside_k_nn(tmp_path):
    def shown(variant, words, counts, **select):
        told = {
            "variant": f"from_ntu60_xsub_{variant}",
            "variant_title": words,
            "source_title": "from NTU-60 XSub",
            "counts": counts,
        }
        return run("stars", "ntu120", data_title="NTU-120", **told, select={"output": "encoder", **select})

    # as results were written before there were two readings
    drawn = {"output": "encoder", "shots": 1, "top1": 40.0, "std": 1.5}
    nearest = {"output": "encoder", "reading": "neighbours", "k": 1, "train_clips": 22935, "top1": 64.0, "std": None}
    path = tmp_path / "metrics.json"
    path.write_text(
        json.dumps({"train_clips": 60, "test_clips": 34432, "top1": 40.0, "std": 1.5, "results": [drawn, nearest]})
    )
    runs = (
        shown("1shot", "1-shot", (None, 34432), shots=1),
        shown("1nn", "k-NN, k = 1", (22935, 34432), reading="neighbours", k=1),
    )
    tables.build(TableStage(number=5, runs=runs), {of.name: path for of in runs}, PUBLISHED, tmp_path)
    cells = list(csv.DictReader(io.StringIO((tmp_path / "table5.csv").read_text())))
    found = {(cell["origin"], cell["column"].split("_")[-1]): cell for cell in cells if cell["recipe"] == "stars"}
    assert (found["this run", "1shot"]["value"], found["this run", "1nn"]["value"]) == ("40.0", "64.0")
    assert found["published", "1nn"]["value"] == "63.5" and float(found["difference", "1nn"]["value"]) == pytest.approx(
        0.5
    )
    assert (
        found["published", "1shot"]["reason"] == "The paper gives no value."
        and not found["difference", "1shot"]["value"]
    )
    text = (tmp_path / "table5.md").read_text()
    assert "NTU-120 XSub (60 / 22,935 training, 34,432 test clips)" in text and "most probably k-NN" in text


def test_a_missing_result_is_a_dash_with_its_reason(tmp_path):
    lines = build(
        tmp_path, 2, [(run(),), (run("stars", select={"k": 7}), 50, (90, 30)), (run("scratch"), 40.5, (90, 30))]
    )
    assert lines["this run", "mamp", "demo_xsub"]["reason"] == NOT_RUN
    assert not [line for line in lines.values() if line["origin"] == "difference"]
    assert (tmp_path / "out/table2.md").read_text().count(tables.NOTHING_COMPARABLE) == 1
    assert lines["this run", "stars", "demo_xsub"]["reason"] == "Not evaluated at output = encoder, k = 7."
    assert (
        lines["this run", "scratch", "demo_xsub"]["value"] == "40.5"
        and ("difference", "scratch", "demo_xsub") not in lines
    )


def test_a_rehearsal_shows_no_accuracy(tmp_path):
    """Neither beside the paper's, though the clips are as many as the paper's, nor alone."""
    lines = build(
        tmp_path, 2, [(run(data="ntu60", counts=(40091, 16487), rehearsal=True), 50), (run("scratch"), 40.5, (90, 30))]
    )
    cell = lines["this run", "mamp", "ntu60_xsub"]
    assert (cell["value"], cell["reason"]) == ("", REHEARSED)
    assert not [line for line in lines.values() if line["origin"] == "difference"]
    config = configuration.load_file("config/paper.yaml")
    capped = configuration.load_file("config/paper.yaml", ["methods.dino.tune.optimiser.max_steps=3"])
    shown = {one["method"] for one in sources.table(capped, 6).settings["runs"] if one["rehearsal"]}
    assert shown == {"dino", "dino_aug"} and not any(
        one["rehearsal"] for one in sources.table(config, 6).settings["runs"]
    )


def right(folder, of, share, rng):
    """predictions.npz of 200 clips of which this share is right, two repetitions."""
    path = folder / of.name / "predictions.npz"
    predicted = {f"run{i}": (rng.random(200) >= share).astype(int) for i in range(2)}
    np.savez(path, name=np.array([f"c{i}" for i in range(200)]), label=np.zeros(200, int), **predicted)
    return path


def test_p_values_are_those_of_the_paired_bootstrap_over_all_seeds_and_repetitions(tmp_path):
    rng, arrays = np.random.default_rng(0), ("run0", "run1")
    runs = {(name, seed): run(name, seed=seed, arrays=arrays) for name in ("mamp", "stars", "dino") for seed in (0, 1)}
    files = {of.name: metrics(tmp_path / "in", of, 50, (90, 200)) for of in runs.values()}
    for (name, _), of in runs.items():
        if name != "dino":
            files[f"predictions of {of.name}"] = right(tmp_path / "in", of, {"mamp": 0.5, "stars": 0.54}[name], rng)
    stage = TableStage(
        number=2, runs=tuple(runs.values()), pairs=(("stars", "mamp"), ("dino", "mamp"), ("stars", "gone"))
    )
    tables.build(stage, files, PUBLISHED, tmp_path / "out")
    lines = [line for line in csv.DictReader((tmp_path / "out/table2.csv").open()) if line["origin"] == "p-value"]
    assert {line["method"] for line in lines} == {"STARS against MAMP"}
    found = {
        name: [np.load(files[f"predictions of {runs[name, seed].name}"])[array] for seed in (0, 1) for array in arrays]
        for name in ("stars", "mamp")
    }
    expected = paired_p(*(np.stack(found[name], axis=1) == 0 for name in ("stars", "mamp")))
    assert [float(line["value"]) for line in lines if line["value"]] == [expected] and 0 < expected < 0.05
    assert f"{expected:.3f}" in (tmp_path / "out/table2.md").read_text()


def test_a_repeated_protocol_shows_its_own_spread_with_one_seed_and_the_seeds_with_several(tmp_path):
    for seeds, shown in (((0,), "50.0 ± 2.5"), ((0, 1), "50.5 ± 0.7")):
        files = {}
        for seed in seeds:
            of = run(seed=seed)
            files[of.name] = tmp_path / f"{seed}.json"
            entry = {"output": "encoder", "k": 1, "top1": 50 + seed, "std": 2.5, "values": [47.5, 52.5]}
            files[of.name].write_text(json.dumps({"train_clips": 9, "test_clips": 9, "top1": 1, "results": [entry]}))
        tables.build(TableStage(number=2, runs=tuple(run(seed=seed) for seed in seeds)), files, PUBLISHED, tmp_path)
        text = (tmp_path / "table2.md").read_text()
        assert shown in text and (tables.REPEATED in text) == (len(seeds) == 1)


def test_tables_of_settings_show_both_values_and_name_what_differs(tmp_path):
    (tmp_path / "tables.yaml").write_text((PUBLISHED / "tables.yaml").read_text())
    (tmp_path / "table8.csv").write_text(
        'hyperparameter,value,keys\nRate,0.001,a.lr\nQueue,"32,768",a.queue\nHow,Mirror & Turn,a.flip'
        " a.turn\nViews,2,=2\n"
    )
    stage = hyperparameters.HyperparametersStage(
        number=8,
        method="MoCo",
        data_title="Demo",
        settings={"a.lr": 1e-3, "a.queue": 512, "a.flip": 0.5, "a.turn": True},
    )
    hyperparameters.build(stage, tmp_path, tmp_path / "out")
    text = (tmp_path / "out/table8.md").read_text()
    assert "| Rate | 0.001 | 0.001 | a.lr |" in text and "| Queue | 32,768 | 512 | a.queue |" in text
    assert (
        "| How | Mirror &amp; Turn | flip 0.5, turn True |" in text
        and "| Views | 2 | 2 | none |" in text
        and "Different from the paper: Queue." in text
    )
    hyperparameters.build(stage.model_copy(update={"settings": None}), tmp_path, tmp_path / "out")
    assert hyperparameters.NOT_CONFIGURED in (tmp_path / "out/table8.html").read_text()
    with pytest.raises(InputError, match=r"no setting a\.queue"):
        hyperparameters.build(stage.model_copy(update={"settings": {"a.lr": 1}}), tmp_path, tmp_path / "out")


def test_a_seed_without_result_leaves_no_mean_over_the_others(tmp_path):
    lines = build(tmp_path, 2, [(run(seed=0), 50, (90, 30)), (run(seed=1),)])
    assert lines["this run", "mamp", "demo_xsub"]["value"] == ""


@pytest.mark.parametrize("number", TABLES)
def test_published_ranks_are_shared_by_ties_and_best_is_best(tmp_path, number):
    lines = build(tmp_path, number, [])
    for column in published.load(PUBLISHED, number).layout.columns:
        cells = [line for (_, _, name), line in lines.items() if name == column and line["value"]]
        values = sorted({float(cell["value"]) for cell in cells}, reverse=True)
        for cell in cells:
            assert cell["rank"] == {values[0]: "1", values[1]: "2"}.get(float(cell["value"]), "")


def test_texts_are_inert_in_every_format_and_bytes_repeat(tmp_path):
    results = [
        (run("stars", title=SCRIPT, data_title=SCRIPT), 50, (90, 30)),
        (run("mamp", data_title=SCRIPT), 40, (90, 30)),
    ]
    build(tmp_path, 1, results, notes=(SCRIPT,))
    files = {ending: tmp_path / "out" / f"table1.{ending}" for ending in ("csv", "json", "md", "tex", "html")}
    first = {ending: path.read_bytes() for ending, path in files.items()}
    _, _, md, tex, html = (text.decode() for text in first.values())
    assert "<script" not in html + md and "&lt;script&gt;alert(1)&lt;/script&gt; &amp; $x_1$" in html
    assert r"\& \$x\_1\$ \textbar{} 50 \%" in tex and "<script" not in tex and r"\| 50" in md
    rows = [line for line in md.splitlines() if line.startswith("|")]
    assert len({len(re.findall(r"(?<!\\)\|", row)) for row in rows}) == 1
    paths = {of.name: tmp_path / "in" / of.name / "metrics.json" for of, *_ in results}
    tables.build(
        TableStage(number=1, runs=tuple(of for of, *_ in results), notes=(SCRIPT,)), paths, PUBLISHED, tmp_path / "out"
    )
    assert {ending: path.read_bytes() for ending, path in files.items()} == first


@pytest.mark.parametrize(
    "text",
    ["{", "[]", "{}", '{"train_clips": 1, "test_clips": 1, "results": [{"output": "encoder", "k": 1, "top1": 120}]}'],
)
def test_a_damaged_metrics_file_is_named(tmp_path, text):
    (tmp_path / "metrics.json").write_text(text)
    with pytest.raises(InputError, match=r"metrics\.json"):
        tables.build(TableStage(number=2, runs=(run(),)), {run().name: tmp_path / "metrics.json"}, PUBLISHED, tmp_path)


def test_wrong_requests_are_refused(tmp_path):
    with pytest.raises(InputError, match="no Table 12"):
        published.load(PUBLISHED, 12)
    with pytest.raises(InputError, match="named twice"):
        tables.build(TableStage(number=2, runs=(run(), run())), {}, PUBLISHED, tmp_path)
    with pytest.raises(InputError, match="missing"):
        tables.build(TableStage(number=2, runs=(run(),)), {run().name: tmp_path / "none.json"}, PUBLISHED, tmp_path)


@given(st.lists(st.floats(0, 100), min_size=1, max_size=6))
@settings(max_examples=40)
def test_mean_std_equals_numpy(values):
    mean, std = mean_std(values)
    assert mean == pytest.approx(np.mean(values))
    assert std is None if len(values) == 1 else std == pytest.approx(np.std(values, ddof=1), abs=1e-9)


def test_letters_and_shown_values():
    assert [grid.letter(i) for i in (0, 25, 26, 27, 701, 702)] == ["a", "z", "aa", "ab", "zz", "aaa"]
    assert [grid.Cell(v).text("difference") for v in (-0.04, 0.3, -1.25, None)] == ["0.0", "+0.3", "−1.2", "–"]


@pytest.fixture
def inputs(tmp_path):
    """A clip store's table of 5 classes × 12 clips, half of them test clips, with features and predictions."""
    rng, clips = np.random.default_rng(0), tmp_path / "clips"
    clips.mkdir()
    label = np.repeat(np.arange(5), 12)
    names = ["None", SCRIPT, "drink", "sit", "stand"]
    table = {"name": [f"c{i:03}" for i in range(60)], "label": label, "action_name": [names[i] for i in label]}
    pd.DataFrame(table).to_csv(clips / "clips.csv", index=False)
    test = np.arange(0, 60, 2)
    np.save(tmp_path / "test.npy", test)
    x_nc = rng.normal(size=(5, 8))[label[test]] * 3 + rng.normal(size=(30, 8))
    np.save(tmp_path / "x.npy", x_nc.astype(np.float32))
    predicted = np.where(rng.random(30) < 0.6, label[test], rng.integers(0, 5, 30))
    np.savez(tmp_path / "p.npz", name=np.array(table["name"])[test], label=label[test], predicted_k10=predicted)
    return tmp_path


FIG4 = Fig4Stage(
    seed=3,
    panels=(Features(method="a", title="A"), Features(method="b", title=SCRIPT, output="predictor")),
    classes=4,
    data_title="D",
    split_title="S",
)
FIG1 = Fig1Stage(
    methods=(Trained(method="a", title="A"), Trained(method="b", title=SCRIPT, trainings=("b",))),
    seeds=(0, 1),
    column="ntu60_xsub",
    counts=(40091, 16487),
    data_title="D",
    split_title="S",
)
SWEEP = SweepStage(
    name="fig3a",
    setting="decay",
    points=(Point(method="a", title="A", value=0.2, base=True), Point(method="b", title=SCRIPT, value=0.5)),
    seeds=(0, 1),
    data_title="D",
    split_title="S",
)
FIG6 = Fig6Stage(title=SCRIPT, data_title="D", split_title="S", pairs=3)


ROLES = [*(f"{name}/{seed}" for name in "ab" for seed in (0, 1)), "record/b/0", "record/b/1"]


def draw_all(folder, out):
    fig4(FIG4, folder / "clips", folder / "test.npy", {"a": folder / "x.npy", "b": folder / "x.npy"}, out)
    fig6(FIG6, folder / "clips", folder / "p.npz", out)
    steps = np.arange(1, 41)
    table = pd.DataFrame({"step": steps, "epoch": steps / 4, "loss": 1 / steps, "lr": 1e-3 / steps, "norm": steps})
    table.to_csv(folder / "curve.csv", index=False)
    table.iloc[:0].to_csv(folder / "none.csv", index=False)
    record = {
        "wall_seconds": 100.5,
        "hardware": {"cpu": "C", "cores": 4, "threads": 2},
        "notes": {"earlier_runs": [{"seconds": 19.5}]},
    }
    (folder / "record.json").write_text(json.dumps(record))
    entry = {"output": "encoder", "k": 10, "top1": 62.5}
    (folder / "metrics.json").write_text(
        json.dumps({"train_clips": 40091, "test_clips": 16487, "top1": 81.25, "results": [entry]})
    )
    both = {f"{name}/{seed}": folder / "metrics.json" for name in "ab" for seed in (0, 1)}
    fig1(FIG1, {**both, "record/b/0": folder / "record.json", "record/b/1": folder / "record.json"}, PUBLISHED, out)
    sweep(SWEEP, both, out)
    sweep(SWEEP.model_copy(update={"name": "fig3b", "points": ()}), {}, out)
    stage = CurvesStage(
        panels=(Panel(method="a", title="A"), Panel(method="b", title=SCRIPT)), data_title="D", split_title="S"
    )
    curves(stage, {"a": folder / "curve.csv", "b": folder / "none.csv"}, out)
    return table


def test_figures_hold_their_data_and_repeat_byte_for_byte(inputs):
    steps = draw_all(inputs, inputs / "one")
    draw_all(inputs, inputs / "two")
    files = sorted(path.name for path in (inputs / "one").iterdir())
    kinds = [
        f"{figure}.{ending}"
        for figure in ("curves", "fig1", "fig3a", "fig3b", "fig4", "fig6")
        for ending in ("csv", "png", "record.json", "svg")
    ]
    assert files == sorted([*kinds, "fig6_pairs.csv"])
    for name in files:
        if "record" not in name:
            assert (inputs / "one" / name).read_bytes() == (inputs / "two" / name).read_bytes(), name
    assert all("<script" not in (inputs / "one" / name).read_text() for name in files if name.endswith(".svg"))
    curve = pd.read_csv(inputs / "one" / "curves.csv")
    assert (
        list(curve) == ["method", *steps]
        and (curve["method"] == "a").all()
        and np.allclose(curve[steps.columns], steps)
    )


def test_text_is_legible_in_one_column_of_print_and_no_title_is_cut_off(inputs, monkeypatch):
    smallest, save = {}, figure_style.save

    def noted(drawn, stem):
        save(drawn, stem)
        texts = [text for text in drawn.findobj(Text) if text.get_visible() and text.get_text().strip()]
        smallest[stem.name] = min(text.get_fontsize() for text in texts) * 3.4 / drawn.get_figwidth()
        titles = [
            text
            for text in texts
            if text is drawn._suptitle or (stem.name == "fig4" and text in [axis.title for axis in drawn.axes])
        ]
        extents = [title.get_window_extent() for title in titles]
        assert all(drawn.bbox.x0 <= box.x0 and box.x1 <= drawn.bbox.x1 for box in extents), stem.name
        assert not any(one.overlaps(other) for one, other in itertools.combinations(extents, 2)), stem.name

    monkeypatch.setattr(figure_style, "save", noted)
    draw_all(inputs, inputs / "out")
    long = Fig4Stage(
        seed=0,
        panels=tuple(Features(method=name, title="STARS, two views", output="predictor") for name in "abc"),
        data_title="Exercises at home, seen from the left of the person",
        split_title="Cross-subject",
    )
    fig4(long, inputs / "clips", inputs / "test.npy", dict.fromkeys("abc", inputs / "x.npy"), inputs / "out")
    assert set(smallest) == {"curves", "fig1", "fig3a", "fig3b", "fig4", "fig6"} and min(smallest.values()) > 4.9


@pytest.fixture
def drawings(monkeypatch):
    """The figures that are saved, as matplotlib holds them."""
    drawn, save = [], figure_style.save
    monkeypatch.setattr(figure_style, "save", lambda figure, stem: (save(figure, stem), drawn.append(figure)))
    return drawn


def draw_times(folder, times, top1, names, counts=(40091, 16487), seeds=(0, 1)):
    """Figure 1 of made-up methods, a quarter of a point between two seeds."""
    methods = [Trained(method=f"m{index}", title=name, trainings=(f"m{index}",)) for index, name in enumerate(names)]
    files = {}
    for index, seed in itertools.product(range(len(names)), seeds):
        metrics, record = (folder / f"{index}_{seed}_{what}.json" for what in ("metrics", "record"))
        entry = {"output": "encoder", "k": 1, "top1": 1.0}
        told = {"train_clips": 40091, "test_clips": 16487, "top1": top1[index] + seed / 4, "results": [entry]}
        metrics.write_text(json.dumps(told))
        record.write_text(json.dumps({"wall_seconds": times[index], "hardware": {"cpu": "C", "cores": 4}, "notes": {}}))
        files |= {f"m{index}/{seed}": metrics, f"record/m{index}/{seed}": record}
    fig1(
        FIG1.model_copy(update={"methods": tuple(methods), "seeds": seeds, "counts": counts}),
        files,
        PUBLISHED,
        folder / "out",
    )


def crowded(count, seed=0):
    rng = np.random.default_rng(seed)
    names = [
        "STARS",
        "CrosSCLR, three streams",
        "HiCo-Transformer",
        "Predict & Cluster",
        "MS²L",
        "An encoder without a cluster loss, of bones",
    ]
    return (
        np.exp(rng.normal(4, 0.7, count)),
        rng.normal(75, 7, count).clip(0, 99),
        [names[i % len(names)] + f" {i}" for i in range(count)],
    )


@pytest.mark.parametrize(("count", "counts"), [(1, None), (6, (40091, 16487)), (30, None)])
def test_names_in_fig1_overlap_nothing_and_stay_inside_the_axes(tmp_path, drawings, count, counts):
    draw_times(tmp_path, *crowded(count), counts=counts or (40091, 1))
    axis = drawings[0].axes[0]
    boxes = [text.get_window_extent() for text in axis.texts]
    assert len(boxes) == count and len(drawings[0].axes) == (2 if counts else 1)
    assert all(axis.bbox.contains(*corner) for box in boxes for corner in (box.min, box.max))
    assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))
    points = axis.transData.transform(axis.containers[0].lines[0].get_xydata())
    assert not any(box.contains(*point) for box in boxes for point in points)
    leaders = [line.get_transform().transform_path(line.get_path()) for line in axis.lines if line.get_zorder() == 1.5]
    assert (count < 30 or leaders) and not any(
        path.intersects_bbox(box.padded(-1)) for path in leaders for box in boxes
    )
    if counts:
        margin = drawings[0].axes[1]
        names = [Text.get_window_extent(text) for text in margin.texts]  # without the lines to them
        assert len(names) > 10 and not any(one.overlaps(other) for one, other in itertools.combinations(names, 2))
        names.append(margin.xaxis.label.get_window_extent())
        assert all(drawings[0].bbox.x0 <= box.x0 and box.x1 <= drawings[0].bbox.x1 for box in names)


def test_fig1_tells_published_points_from_this_runs(tmp_path, drawings):
    draw_times(tmp_path, *crowded(4))
    ours, cited = drawings[0].axes[0].containers[0].lines[0], drawings[0].axes[1].lines[0]
    assert ours.get_color() in palette.OKABE_ITO and cited.get_color() in palette.OKABE_ITO
    assert ours.get_color() != cited.get_color() and ours.get_marker() != cited.get_marker()
    assert [text.get_text() for text in drawings[0].legends[0].get_texts()] == [
        "this run, mean ± std of 2 seeds",
        "published",
    ]


@pytest.mark.parametrize("times", [(100, 110, 115), (60, 100, 260), (5, 40, 4000), (3600, 3600.5, 3601), (0, 50, 80)])
def test_fig1_has_no_points_in_a_corner(tmp_path, drawings, times):
    draw_times(tmp_path, times, (50, 60, 90), "abc", counts=None)
    axis = drawings[0].axes[0]
    shares = axis.transAxes.inverted().transform(axis.transData.transform(axis.containers[0].lines[0].get_xydata()))
    assert (shares > 0).all() and (shares < 1).all()
    assert np.ptp(shares[:, 1]) > 0.5 and (np.ptp(shares[:, 0]) > 0.4 or max(times) < 1.1 * min(times))
    assert shares[:, 0].min() < 0.5


def test_fig4_has_titles_on_one_line_and_panels_of_one_scale(inputs, drawings, monkeypatch):
    """At every width: one to five panels, short and long titles; points of one panel lie three times as wide apart."""
    rng = np.random.default_rng(0)
    monkeypatch.setattr(projected, "tsne", lambda matrix, *_: rng.normal(size=(len(matrix), 2)) * rng.choice([1, 3]))
    for count, title in itertools.product(
        range(1, 6), ("A", "STARS without the cluster loss, bones and joints, three streams")
    ):
        panels = tuple(Features(method=f"m{index}", title=f"{title} {index}") for index in range(count))
        stage = FIG4.model_copy(
            update={"panels": panels, "data_title": "Exercises at home, seen from the left of the person"}
        )
        given = {panel.method: inputs / "x.npy" for panel in panels}
        fig4(stage, inputs / "clips", inputs / "test.npy", given, inputs / "out")
        drawn = drawings.pop()
        shown = [axis for axis in drawn.axes if axis.axison]
        assert len(shown) == count and len(drawn.legends) == 1
        for text, box in [(drawn._suptitle, drawn.bbox), *((axis.title, axis.bbox) for axis in shown)]:
            extent = text.get_window_extent()
            assert "\n" not in text.get_text() and box.x0 - 1 <= extent.x0 and extent.x1 <= box.x1 + 1
        assert [axis.get_title() for axis in shown] == [panel.title for panel in panels] or len(title) > 40
        legend = drawn.legends[0].get_window_extent()
        assert drawn.bbox.x0 <= legend.x0 and legend.x1 <= drawn.bbox.x1
        for extent in ("get_xlim", "get_ylim"):
            assert np.ptp([np.diff(getattr(axis, extent)()) for axis in shown]) < 1e-6
        sizes = np.array([axis.bbox.size for axis in shown])
        assert np.ptp(sizes, axis=0).max() < 1 and abs(sizes[0, 0] - sizes[0, 1]) < 1


def test_fig1_holds_times_of_all_runs_and_cites_the_paper_on_its_own_complete_data_alone(inputs):
    draw_all(inputs, inputs / "out")
    table = pd.read_csv(inputs / "out/fig1.csv")
    ours, cited = table[table["origin"] == "this run"], table[table["origin"] == "published"]
    assert (
        ours["seconds"].tolist() == [0, 120]
        and ours["top1"].tolist() == [81.25, 81.25]
        and ours["hardware"].tolist()[1] == "C, 2 threads"
    )
    assert (
        dict(zip(cited["method"], cited["top1"], strict=True))["MAMP [28]"] == 84.9
        and cited["seconds"].isna().all()
        and len(cited) == 17
    )
    other = FIG1.model_copy(update={"counts": (40091, 1)})
    fig1(
        other,
        {role: inputs / f"{'record' if 'record' in role else 'metrics'}.json" for role in ROLES},
        PUBLISHED,
        inputs / "other",
    )
    assert set(pd.read_csv(inputs / "other/fig1.csv")["origin"]) == {"this run"}
    (inputs / "record.json").write_text('{"wall_seconds": 1}')
    with pytest.raises(InputError, match="not the record of a training"):
        training_seconds(inputs / "record.json")


def test_fig3_holds_a_point_a_method(inputs):
    draw_all(inputs, inputs / "out")
    table = pd.read_csv(inputs / "out/fig3a.csv")
    assert (
        table["value"].tolist() == [0.2, 0.5]
        and table["top1"].tolist() == [62.5, 62.5]
        and table["base"].tolist() == [True, False]
    )
    assert pd.read_csv(inputs / "out/fig3b.csv").empty
    with pytest.raises(InputError, match="at k = 3: add it"):
        sweep(
            SWEEP.model_copy(update={"k": 3}),
            {f"{name}/{seed}": inputs / "metrics.json" for name in "ab" for seed in (0, 1)},
            inputs,
        )


@given(st.lists(st.floats(0, 100), max_size=20), st.floats(0.01, 30))
@settings(max_examples=60)
def test_labels_stand_apart_and_no_further_than_they_must(places, gap):
    places = sorted(places)
    moved = apart(places, gap)
    assert all(second - first >= gap - 1e-6 for first, second in itertools.pairwise(moved))
    if all(second - first >= gap for first, second in itertools.pairwise(places)):
        assert moved == pytest.approx(places)
    assert sum(moved) == pytest.approx(sum(places), abs=1e-6)


def test_fig4_draws_the_spread_classes_and_every_clip_of_them(inputs):
    draw_all(inputs, inputs / "out")
    points = pd.read_csv(inputs / "out" / "fig4.csv", keep_default_na=False)
    clips = pd.read_csv(inputs / "clips" / "clips.csv", keep_default_na=False).iloc[::2]
    expected = clips[clips["label"].isin([0, 1, 3, 4])]
    assert list(points) == ["method", "name", "label", "action_name", "x", "y"]
    for _, of in points.groupby("method"):
        assert of[list(expected)].reset_index(drop=True).equals(expected.reset_index(drop=True))
    assert np.isfinite(points[["x", "y"]]).all(axis=None)
    assert json.loads((inputs / "out" / "fig4.record.json").read_text())["notes"]["perplexity"] == pytest.approx(23 / 3)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
def test_curves_leave_no_part_of_the_figure_empty(inputs, drawings, count):
    draw_all(inputs, inputs / "out")
    panels = tuple(Panel(method=str(number), title=str(number)) for number in range(count))
    stage = CurvesStage(panels=panels, data_title="D", split_title="S")
    curves(stage, {panel.method: inputs / "curve.csv" for panel in panels}, inputs / "out")
    places = {(spec.rowspan, spec.colspan) for axis in drawings[-1].axes if (spec := axis.get_subplotspec())}
    assert len(places) == count
    assert sum(len(rows) * len(columns) for rows, columns in places) == 2 * max(rows.stop for rows, _ in places)


@pytest.mark.parametrize("classes", [3, 20, 30])
def test_numbers_of_a_confusion_matrix_fit_their_cells(classes):
    with figure_style.figure(5, 0.17 * classes + 2, "compressed") as drawn:
        axis = drawn.subplots()
        axis.imshow(np.eye(classes))
        number_cells(axis, np.eye(classes))
        drawn.draw_without_rendering()
        cell = axis.get_window_extent().width / classes
        assert len(axis.texts) == classes and all(text.get_window_extent().width < cell for text in axis.texts)


def test_fig6_counts_as_scikit_learn_does(inputs):
    from sklearn.metrics import confusion_matrix

    draw_all(inputs, inputs / "out")
    with np.load(inputs / "p.npz") as found:
        expected = confusion_matrix(found["label"], found["predicted_k10"])
        assert (confusion(found["label"], found["predicted_k10"], list(range(5))) == expected).all()
    cells = pd.read_csv(inputs / "out" / "fig6.csv", keep_default_na=False)
    assert (cells["count"].to_numpy().reshape(5, 5) == expected).all()
    assert np.allclose(cells["share"].to_numpy().reshape(5, 5), expected / 6)
    pairs = pd.read_csv(inputs / "out" / "fig6_pairs.csv", keep_default_na=False)
    wrong = expected[~np.eye(5, dtype=bool)]
    assert pairs["count"].tolist() == sorted(wrong, reverse=True)[:3] and (pairs["true"] != pairs["predicted"]).all()


def test_spread_and_perplexity():
    assert (
        spread(list(range(60)), 15) == sorted(set(spread(list(range(60)), 15)))
        and len(spread(list(range(60)), 15)) == 15
    )
    assert spread([3, 5, 9], 15) == [3, 5, 9] and spread(list(range(10)), 2) == [0, 9]
    assert perplexity(30, 1000) == 30 and perplexity(30, 31) == 10


def test_collapsed_features_still_have_coordinates():
    assert np.isfinite(tsne(unit(np.ones((12, 4), np.float32)), 3, seed=0)).all()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: np.save(f / "x.npy", np.ones((29, 8))), r"x\.npy must contain 30 finite rows"),
        (lambda f: np.save(f / "x.npy", np.full((30, 8), np.nan)), "finite"),
        (lambda f: np.save(f / "test.npy", np.arange(70)), "row indices from 0 to 59"),
        (lambda f: (f / "p.npz").write_bytes(b"PK"), r"p\.npz is not a readable"),
        (lambda f: np.savez(f / "p.npz", name=["c000"], label=[0]), "no array predicted_k10"),
        (lambda f: np.savez(f / "p.npz", name=["c000"], label=[1], predicted_k10=[0]), "that are not in"),
        (lambda f: np.savez(f / "p.npz", name=["c000"], label=[0], predicted_k10=[9]), "one known label"),
        (lambda f: (f / "clips" / "clips.csv").write_text("name,label\n"), "no column action_name"),
    ],
)
def test_bad_figure_input_is_one_line(inputs, damage, message):
    damage(inputs)
    with pytest.raises(InputError, match=message) as caught:
        draw_all(inputs, inputs / "out")
    assert "\n" not in str(caught.value)


if __name__ == "__main__":
    NUMBERS.parent.mkdir(parents=True, exist_ok=True)
    rows = transcribe(Path(os.environ["STARS_PAPER_TEXT"]).read_text())
    body = ",\n".join(
        f'"{number}": [\n' + ",\n".join(json.dumps(row, ensure_ascii=False) for row in table) + "\n]"
        for number, table in rows.items()
    )
    NUMBERS.write_text("{\n" + body + "\n}\n")


def test_a_column_that_is_not_shown_does_not_count_in_ranks():
    """The comparison page leaves out facts that no method has; their cells stay."""
    columns = (grid.Column("knn", "", "KNN", published=False),)
    rows = tuple(
        grid.Row("this run", "", name, {"knn": grid.Cell(value), "steps": grid.Cell(reason="not measured")})
        for name, value in (("a", 50.0), ("b", 60.0))
    )
    table = grid.ranked(grid.Table("comparison", "", (), columns, rows, (), cites=False))
    assert [row.cells["knn"].rank for row in table.rows] == [2, 1]
    assert [row.cells["steps"].rank for row in table.rows] == [0, 0]
