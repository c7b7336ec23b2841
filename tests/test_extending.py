"""docs/extending.md does what it says: its loss, in a copy of the package, by its own YAML."""

from __future__ import annotations

import csv
import re
import shutil
import subprocess
import sys
from pathlib import Path

import torch
import yaml
from test_training import Bench, write_clips

from stars import recipes

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/extending.md").read_text()


def blocks(language: str, word: str) -> str:
    """The one fenced block in that language that holds `word`."""
    (found,) = [block for block in re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL) if word in block]
    return found


def stars(package: Path, *words: object) -> subprocess.CompletedProcess:
    environment = {"PYTHONPATH": str(package), "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-m", "stars", *map(str, words)], cwd=package, env=environment, capture_output=True, text=True, check=False
    )


def test_a_loss_of_ones_own_is_a_file_and_a_block(tmp_path):
    package, bench = tmp_path / "package", Bench(tmp_path, write_clips(tmp_path))
    shutil.copytree(ROOT / "stars", package / "stars")
    for folder in ("config", "tests/config"):
        shutil.copytree(ROOT / folder, package / folder)
    source = blocks("python", "barlow.py")
    (package / source.splitlines()[0].removeprefix("# ")).write_text(source)
    config = yaml.safe_load((ROOT / "tests/config/tiny.yaml").read_text())
    config["methods"] |= yaml.safe_load(blocks("yaml", "barlow"))["methods"]
    (package / "own.yaml").write_text(yaml.safe_dump(config))
    paths = ("--clips", bench.clips, "--train", bench.train, "--parent", bench.parent(), "--out", tmp_path / "out")
    done = stars(package, "tune", *paths, "--config", "own.yaml", "--recipe", "barlow", "--set", "tune.optimiser.batch=7")
    assert done.returncode == 0, done.stderr
    assert "redundancy: 0.01" in (tmp_path / "out/settings.yaml").read_text()
    rows = list(csv.DictReader((tmp_path / "out/curve.csv").open()))
    assert all(-1 <= float(row["agreement"]) <= 1 and float(row["loss"]) > 0 for row in rows)
    refused = stars(package, "config", "check", "--config", "own.yaml", "--set", "methods.barlow.tune.options.redundant=1")
    expected = "methods.barlow on data.demo: unknown key tune.options.redundant: did you mean redundancy?"
    assert refused.returncode == 2 and expected in refused.stderr


def test_its_loss_is_the_equation_above_it():
    scope: dict = {}
    exec(blocks("python", "barlow.py").split("class Loss")[0], scope)
    cross = torch.randn(4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    slow = sum((1 - cross[i, j]) ** 2 if i == j else 0.01 * cross[i, j] ** 2 for i in range(4) for j in range(4))
    torch.testing.assert_close(scope["barlow_loss"](cross, 0.01), slow)


def test_its_recipes_are_right():
    shown = yaml.safe_load(blocks("yaml", "stars_3stage"))
    config = recipes.load({"data": {"demo": {"dataset": "demo", "simulate": {}}}, **shown})
    kinds = {name: recipes.method(config, "demo", name).kind for name in config.methods}
    assert [name for name, kind in kinds.items() if kind == "pretrain"] == ["mamp", "uniform", "mask_0.75", "bones"]
    assert recipes.method(config, "demo", "stars_3stage").heads == "heads"
