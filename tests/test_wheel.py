"""What a wheel carries is enough: commands in an empty folder, a project laid down by `stars init`, the workflow
from elsewhere and as a module.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml
from tiny import ROOT

SOURCES = ("stars", "config", "workflow", "envs", "Snakefile", "pyproject.toml", "README.md", "LICENSE")
TINY = (
    "model: {frames: 16, segment: 4, width: 16, depth: 2, heads: 2, hidden: 32, decoder_width: 16, decoder_depth: 1,"
    " decoder_hidden: 32}\n"
)


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """A folder with the package alone, as pip installs it from a wheel that was built of a copy of the source."""
    pytest.importorskip("setuptools", minversion="77")
    base = tmp_path_factory.mktemp("wheel")
    source = base / "source"
    source.mkdir()
    for name in SOURCES:
        path = ROOT / name
        if path.is_dir():
            shutil.copytree(path, source / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(path, source / name)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run(
        [*pip, "wheel", ".", "--no-deps", "--no-build-isolation", "--wheel-dir", base], cwd=source, check=True
    )
    (wheel,) = base.glob("stars_skeleton-*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--no-compile", "--target", base / "site", wheel], check=True)
    shutil.rmtree(source)
    return base / "site"


def run(installed: Path, folder: Path, *words: object, module: str = "stars") -> subprocess.CompletedProcess:
    """`python -m MODULE WORDS` in a folder, on the installed package."""
    command = [sys.executable, "-m", module, *map(str, words)]
    environment = {**os.environ, "PYTHONPATH": str(installed), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=600
    )


def works(installed: Path, folder: Path, *words: object, module: str = "stars") -> str:
    done = run(installed, folder, *words, module=module)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_commands_work_in_an_empty_folder(installed, tmp_path):
    few = (
        "--set",
        "data.demo.simulate={actions: 4, subjects: 2, cameras: 1, setups: 1, repetitions: 1, frames: [16, 20]}",
    )
    (tmp_path / "shape.yaml").write_text(TINY + "data: {demo: {dataset: demo, simulate: {}}}\n")
    works(installed, tmp_path, "simulate", "--out", "raw.zip", *few)
    works(installed, tmp_path, "ingest", "--raw", "raw.zip", "--out", "clips")
    works(installed, tmp_path, "scratch", "--clips", "clips", "--out", "method", "--config", "shape.yaml")
    with zipfile.ZipFile(tmp_path / "raw.zip") as archive:
        archive.extractall(tmp_path / "recordings")
    encoder = ("--encoder", "method/encoder.safetensors", "--like", "demo", "--device", "cpu")
    assert "clip" in works(installed, tmp_path, "embed", "recordings", *encoder)
    assert "vote share" in works(installed, tmp_path, "predict", "recordings", *encoder, "--library", "recordings")
    name = next((tmp_path / "recordings").iterdir()).stem
    works(installed, tmp_path, "inspect", name, "--clips", "clips", "--out", "pictures")
    assert (tmp_path / "clips/clips.csv").is_file() and not (tmp_path / "config").exists()
    done = run(installed, tmp_path, "embed", "recordings", "--encoder", "method/encoder.safetensors", "--like", "ntu6")
    assert done.returncode == 2 and "no ntu6 in config/datasets: did you mean ntu60?" in done.stderr


def test_the_source_s_own_files_stand_before_those_of_the_wheel(installed, tmp_path):
    (tmp_path / "config/datasets").mkdir(parents=True)
    described = yaml.safe_load((ROOT / "config/datasets/demo.yaml").read_text()) | {"title": "Mine"}
    (tmp_path / "config/datasets/demo.yaml").write_text(yaml.safe_dump(described))
    (tmp_path / "config/config.yaml").write_text(
        "preset: small\nrecipes: small\ndata: {demo: {dataset: demo, splits: [none], simulate: {}}}\n"
    )
    done = run(installed, tmp_path, "config", "check")
    assert done.returncode == 2 and "config/config.yaml: data.demo.splits: no split none" in done.stderr


def test_a_project_that_is_laid_down_runs_the_workflow_of_the_wheel(installed, tmp_path):
    works(installed, tmp_path, "init", "mine")
    project = tmp_path / "mine"
    works(installed, project, "config", "check")
    done = works(installed, project, "--cores", "1", "--dry-run", "table2", module="snakemake")
    assert "evaluate_knn" in done and "table2" in done
    assert "report_page" in works(
        installed, project, "--cores", "1", "--dry-run", "--profile", "profiles/local", module="snakemake"
    )
    works(installed, project, "--cores", "1", "results/rehearsal/raw.zip", module="snakemake")
    assert works(installed, project, "status").startswith("1 of 1 jobs done")
    again = run(installed, tmp_path, "init", "mine")
    assert again.returncode == 2 and "mine/Snakefile already exists: give another folder" in again.stderr


def test_the_workflow_runs_from_another_folder_and_as_a_module(installed, tmp_path):
    snakefile = installed / "stars/shipped/Snakefile"
    assert "draw_fig4" in works(
        installed, tmp_path, "-s", snakefile, "-d", ".", "--cores", "1", "--dry-run", module="snakemake"
    )
    (tmp_path / "Snakefile").write_text(
        "rule summary:\n    input: 'results/tables/table2.csv'\n    output: 'summary'\n    shell: 'cp {input}"
        f" {{output}}'\nmodule other:\n    snakefile: '{snakefile}'\n    config: {{'preset': 'small', 'recipes':"
        " 'small', 'data': {'demo': {'dataset': 'demo', 'simulate': {'clips': 240}}}}\nuse rule * from other as"
        " their_*\n"
    )
    done = works(installed, tmp_path, "--cores", "1", "--dry-run", "summary", module="snakemake")
    assert "their_evaluate_knn" in done and "summary" in done
