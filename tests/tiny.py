"""The workflow on tests/config/tiny.yaml: a project folder of its own, and what Snakemake says it would run there."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from stars.cli.terminal import REASONS

ROOT = Path(__file__).parents[1]
CONFIG = "config/tiny.yaml"
RULES = {
    "Simulate raw files": "simulate",
    "Read raw files": "ingest",
    "Split clips": "split",
    "Quality page": "inspect",
    "Initialise": "scratch",
    "Stage 1, masked motion prediction": "pretrain",
    "Stage 2, contrastive tuning": "tune",
    "Embed": "embed",
    "KNN": "knn",
    "Linear probe": "linear",
    "Draw subsets": "subsets",
    "Draw exemplars": "exemplars",
    "Embed another data set": "embed_elsewhere",
    "Fine-tune": "finetune",
    "Semi-supervised": "semi",
    "Transfer": "transfer",
    "Few-shot": "few_shot",
    "Table 1": "table (1)",
    "Table 2": "table (2)",
    "Figure 4": "draw_fig4",
    "Figure 6": "draw_fig6",
    "Training curves": "draw_curves",
    "Map": "map",
    "Report": "report_page",
}


def project(folder: Path) -> Path:
    """What a user has: the workflow and the configurations, no results."""
    folder.mkdir()
    for name in ("workflow", "config", "envs"):
        shutil.copytree(ROOT / name, folder / name)
    for name in ("Snakefile", "profiles", "slurm"):
        shutil.copy2(ROOT / name, folder / name, follow_symlinks=False)
    shutil.copyfile(ROOT / "tests" / CONFIG, folder / CONFIG)
    shutil.copytree(ROOT / "tests/config", folder / "tests/config")
    return folder


def set_site(folder: Path, **values: object) -> None:
    """Edit lines of the site block of a project's Slurm profile, as a user would."""
    profile = folder / "workflow/profiles/slurm/config.yaml"
    text = profile.read_text()
    for key, value in values.items():
        text, found = re.subn(rf"(?m)^(  {key}:) [^#]*(?= #)", rf"\1 {json.dumps(value)}", text)
        assert found == 1, key
    profile.write_text(text)


def snakemake(
    folder: Path, *arguments: str, config: tuple[str | Path, ...] = (CONFIG,), package: Path = ROOT
) -> subprocess.CompletedProcess:
    """Run Snakemake in `folder` with these configuration files, on the package `stars` that lies in `package`."""
    return asked(folder, *arguments, "--configfile", *map(str, config), package=package)


def asked(folder: Path, *arguments: str, package: Path = ROOT) -> subprocess.CompletedProcess:
    """Run `snakemake --cores 2 ARGUMENTS` in `folder`."""
    command = [sys.executable, "-m", "snakemake", "--cores", "2", *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(package)}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=900
    )


def planned(folder: Path, *config: str | Path, package: Path = ROOT) -> set[str]:
    """Jobs of a dry run, as "rule (method)"."""
    done = snakemake(folder, "--dry-run", config=(CONFIG, *config), package=package)
    assert done.returncode == 0, done.stdout + done.stderr
    jobs = set(map(_job, messages(done.stdout + done.stderr)))
    assert bool(jobs) != ("Nothing to be done" in done.stdout + done.stderr)
    return jobs


def messages(text: str) -> list[str]:
    """What the jobs are, of what a run or a dry run says of each."""
    return re.findall(rf"^(?:\[.+?\]  )?(.+) \((?:{'|'.join(set(REASONS.values()))})\)$", text, re.MULTILINE)


def _job(message: str) -> str:
    title, _, wildcards = message.partition(": ")
    method = wildcards.split()[2:] if title not in ("Figure 4", "Figure 6") else []
    return f"{RULES[title]} ({method[0]})" if method else RULES[title]
