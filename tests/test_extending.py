"""docs/extending.md does what it says: its files, in a copy of the package, by their own YAML."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from test_training import Bench, write_clips
from tiny import messages, snakemake

from stars.config import plugins
from stars.data.store import ClipStore
from stars.errors import InputError
from stars.evaluation.metrics import RESULT_FILES
from stars.pipeline import configuration

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/extending.md").read_text()


def blocks(language: str, word: str) -> str:
    """The one fenced block in that language that holds `word`."""
    (found,) = [block for block in re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL) if word in block]
    return found


def stars(package: Path, *words: object) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PYTHONPATH": str(package), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-m", "stars", *map(str, words)],
        cwd=package,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def package(tmp_path) -> Path:
    """A copy of the package, with the page's files written into it, and of the configurations; own.yaml: the tests'
    smallest.
    """
    folder = tmp_path / "package"
    for name in ("stars", "config", "tests/config"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for source in re.findall(r"```(?:python|yaml)\n(# \S+\.(?:py|yaml)\n.*?)```", PAGE, re.DOTALL):
        path = folder / source.splitlines()[0].removeprefix("# ")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
    shutil.copyfile(ROOT / "tests/config/tiny.yaml", folder / "own.yaml")
    return folder


def configure(package: Path, *words: str) -> None:
    """Lay the page's YAML blocks that hold these words over own.yaml."""
    config = yaml.safe_load((package / "own.yaml").read_text())
    for word in words:
        config = configuration.merge(config, yaml.safe_load(blocks("yaml", word)))
    (package / "own.yaml").write_text(yaml.safe_dump(config, sort_keys=False))


def test_a_loss_of_ones_own_is_a_file_and_a_block(package, tmp_path):
    bench = Bench(tmp_path, write_clips(tmp_path))
    configure(package, "redundancy: 0.01")
    paths = ("--clips", bench.clips, "--train", bench.train, "--parent", bench.parent(), "--out", tmp_path / "out")
    done = stars(
        package, "tune", *paths, "--config", "own.yaml", "--recipe", "barlow", "--set", "tune.optimiser.batch=7"
    )
    assert done.returncode == 0, done.stderr
    assert "redundancy: 0.01" in (tmp_path / "out/settings.yaml").read_text()
    rows = list(csv.DictReader((tmp_path / "out/curve.csv").open()))
    assert all(-1 <= float(row["agreement"]) <= 1 and float(row["loss"]) > 0 for row in rows)
    refused = stars(
        package, "config", "check", "--config", "own.yaml", "--set", "methods.barlow.tune.options.redundant=1"
    )
    expected = "methods.barlow on data.demo: unknown key tune.options.redundant: did you mean redundancy?"
    assert refused.returncode == 2 and expected in refused.stderr


HEADS = """class Options(Settings):
    @property
    def compared_heads(self):
        return "projector"

"""


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("moco", ("", ""), r"methods\.other on data\.demo: .*: plugins/objectives/moco\.py: stars has a moco of its own: give yours another name"),
        ("other", ("def heads(self):", "def heads(self)"), r"plugins/objectives/other\.py, line 33: SyntaxError: expected ':'"),
        ("other", ("import torch\n", "import torch\nimport torsh\n"), r"plugins/objectives/other\.py, line 7: ModuleNotFoundError: No module named 'torsh'"),
        ("other", ("    Options = Options\n", ""), r"train\.objective: other\.py: Loss has no Options: write `Options = …` in it"),
        ("other", ("class Options(Settings):\n", HEADS), r"other: compared_heads must be a tuple of heads' names such as .*, found 'projector'"),
    ],
    ids=["name taken", "syntax", "import", "no options", "heads"],
)  # fmt: skip
def test_a_mistake_in_a_file_is_one_line(package, monkeypatch, name, change, message):
    source = (package / "plugins/objectives/barlow.py").read_text()
    assert change[0] in source
    (package / f"plugins/objectives/{name}.py").write_text(source.replace(*change))
    monkeypatch.chdir(package)
    with pytest.raises(InputError, match=message) as caught:
        configuration.load_file("own.yaml", [f"methods.other={{train: {{objective: {name}}}}}"])
    assert "\n" not in str(caught.value)


def test_its_loss_is_the_equation_above_it():
    scope: dict = {}
    exec(blocks("python", "barlow.py").split("class Loss")[0], scope)
    cross = torch.randn(4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    slow = sum((1 - cross[i, j]) ** 2 if i == j else 0.01 * cross[i, j] ** 2 for i in range(4) for j in range(4))
    torch.testing.assert_close(scope["barlow_loss"](cross, 0.01), slow)


def test_its_recipes_are_right():
    shown = yaml.safe_load(blocks("yaml", "stars_3stage"))
    config = configuration.load({"data": {"demo": {"dataset": "demo", "simulate": {}}}, **shown})
    kinds = {name: configuration.method(config, "demo", name).kind for name in config.methods}
    assert [name for name, kind in kinds.items() if kind == "pretrain"] == ["mamp", "uniform", "mask_0.75", "bones"]
    assert configuration.method(config, "demo", "stars_3stage").heads == "heads"


def test_a_protocol_of_ones_own_is_a_file_and_a_block(package, made, tmp_path):
    configure(package, "targets: [centroid]")
    out = tmp_path / "centroid"
    paths = (
        "--features",
        made / "features",
        "--target",
        "toy",
        "--clips",
        made / "clips",
        "--train",
        made / "train.npy",
        "--test",
        made / "test.npy",
    )
    done = stars(package, "plugin-protocol", "centroid", *paths, "--out", out, "--config", "own.yaml")
    assert done.returncode == 0, done.stderr
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["protocol"] == "centroid" and metrics["top1"] == pytest.approx(by_hand(made), abs=1e-4)
    record = json.loads((out / "record.json").read_text())
    assert record["stage"] == "stars.evaluation.plugin+plugins.protocols.centroid" and set(record["outputs"]) == set(
        RESULT_FILES
    )
    refused = stars(package, "config", "check", "--config", "own.yaml", "--set", "protocols.centre={}")
    assert (
        refused.returncode == 2
        and "protocols.centre: no file plugins/protocols/centre.py: create it as" in refused.stderr
    )
    wrong = stars(
        package,
        "plugin-protocol",
        *paths,
        "--out",
        out,
        "--settings",
        '{"name": "centroid", "options": {"center": true}}',
    )
    assert wrong.returncode == 2 and "unknown key options.center: did you mean centre?" in wrong.stderr
    (package / "plugins/protocols/empty.py").write_text("")
    empty = stars(package, "plugin-protocol", *paths, "--out", out, "--settings", '{"name": "empty", "options": {}}')
    assert empty.returncode == 2 and "plugins/protocols/empty.py must define Options and classify" in empty.stderr


def by_hand(made: Path) -> float:
    """Accuracy of the nearest class mean, one clip and class at a time."""
    labels = ClipStore.open(made / "clips").labels
    train, test = (np.load(made / "features" / f"toy_{part}.npy").astype(np.float64) for part in ("train", "test"))
    train_labels, test_labels = (np.asarray(labels)[np.load(made / f"{part}.npy")] for part in ("train", "test"))
    origin, right = train.mean(axis=0), 0
    means = {}
    for k in sorted(set(train_labels)):
        means[k] = sum((row - origin) / np.linalg.norm(row - origin) for row in train[train_labels == k])
    for row, label in zip(test - origin, test_labels, strict=True):
        right += label == max(means, key=lambda k: row @ means[k] / np.linalg.norm(means[k]))
    return 100 * right / len(test)


def test_a_table_of_ones_own_is_a_file_and_a_block(package, tmp_path):
    configure(package, "hardest")
    for name in ("scratch", "mamp", "stars"):
        folder = package / f"results/demo_xsub/{name}/knn"
        folder.mkdir(parents=True)
        (folder / "metrics.json").write_text(json.dumps({"per_class": {"a_b": 12.34, "c|d": 100.0, "e & f": 0.0}}))
    out = tmp_path / "out"
    done = stars(package, "plugin-table", "hardest", "--config", "own.yaml", "--out", out)
    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader((out / "hardest.csv").open()))
    assert [(row["method"], row["class"], row["top-1 (%)"]) for row in rows[:2]] == [
        ("SCRATCH", "e & f", "0.0"),
        ("SCRATCH", "a_b", "12.34"),
    ]
    assert len(rows) == 6 and "| demo | xsub | MAMP | 0 | a_b | 12.3 |" in (out / "hardest.md").read_text()
    assert "e \\& f" in (out / "hardest.tex").read_text() and "e &amp; f" in (out / "hardest.html").read_text()
    assert (out / "hardest.record.json").is_file()


def test_the_workflow_makes_them_and_nothing_else(package, own):
    configure(package, "targets: [centroid]", "hardest")
    shutil.copyfile(package / "own.yaml", own / "config/own.yaml")
    shutil.copytree(package / "plugins", own / "plugins")
    for target, expected in (("hardest", {"Table hardest"}), ("centroid", {"Protocol centroid"})):
        done = snakemake(own, "--config", f"targets=[{target}]", config=("config/own.yaml",), package=package)
        assert done.returncode == 0, done.stdout + done.stderr
        assert {message.partition(":")[0] for message in messages(done.stdout + done.stderr)} == expected
    assert "MAMP" in (own / "results/tables/hardest.md").read_text()
    shown = [path.parts[-3] for path in own.glob("results/demo_xsub/*/centroid/metrics.json")]
    assert sorted(shown) == ["mamp", "scratch", "stars"]


def test_a_data_set_of_ones_own_is_a_file_and_a_block(package, tmp_path):
    shown = yaml.safe_load(blocks("yaml", "recordings/studio"))
    (package / "config/datasets/studio.yaml").write_text(blocks("yaml", "title: Studio"))
    block = {
        **shown["data"]["studio"],
        "raw": None,
        "simulate": {"actions": 4, "subjects": 3, "cameras": 1, "setups": 1, "frames": [16, 24]},
    }
    (package / "own.yaml").write_text(yaml.safe_dump({"data": {"studio": block}}))
    raw, clips = tmp_path / "raw", tmp_path / "clips"
    for words in (
        ("simulate", "--out", raw),
        ("ingest", "--raw", raw, "--out", clips),
        ("split", "--clips", clips, "--out", tmp_path / "splits"),
    ):
        done = stars(package, *words, "--config", "own.yaml", "--data", "studio")
        assert done.returncode == 0, done.stderr
    store = ClipStore.open(clips)
    assert set(store.class_names.values()) == {"wave", "beckon", "sit down"} and store.joints == 25
    assert len(np.load(tmp_path / "splits/xsub_train.npy")) == 2 * len(np.load(tmp_path / "splits/xsub_test.npy")) > 0


def test_no_name_of_one_s_own_can_be_a_rule_s():
    rules = {
        name
        for path in (ROOT / "workflow/rules").glob("*.smk")
        for name in re.findall(r"(?m)^rule (\w+):|^use rule \w+ as (\w+)", path.read_text())
    }
    for name in {name for pair in rules for name in pair if name}:
        assert name in plugins.JOBS or name.startswith(plugins.PREFIXES), name
