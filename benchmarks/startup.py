"""What a job costs before it does anything: interpreter, imports, Snakemake's own share.

python benchmarks/startup.py [--repeat 5]

Wall seconds, the least of all repeats, since other work on the machine only adds to them.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

JOBS = 20
COMMANDS = {
    "python": "pass",
    "torch alone": "import torch",
    "stars --help": "from stars.cli import main; main(['--help'])",
    "split": "import stars.data.splits",
    "knn, few-shot": "import stars.evaluation.few_shot",
    "finetune, semi": "import stars.evaluation.semi",
    "pretrain": "import stars.training.pretrain",
    "table": "import stars.paper.tables",
    "figure": "import stars.paper.figures",
}
SNAKEFILE = """
rule all:
    input: expand("{job}.txt", job=range(JOBS))
rule one:
    output: "{job}.txt"
    shell: "touch {output}"
"""


def seconds(command: list[str], folder: Path | None = None) -> float:
    """Wall time of a command that must succeed."""
    began = time.perf_counter()
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return time.perf_counter() - began


def importing(code: str, repeat: int) -> float:
    """Time of a Python process that does this; `--help` leaves with SystemExit 0."""
    return min(seconds([sys.executable, "-c", code]) for _ in range(repeat))


def workflow(jobs: int) -> float:
    """Time of a workflow of so many jobs that do nothing, one after another."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "Snakefile").write_text(SNAKEFILE.replace("JOBS", str(jobs)))
        return seconds([sys.executable, "-m", "snakemake", "--cores", "1", "--quiet"], Path(folder))


def main() -> None:
    """A line a kind of job, then Snakemake's start and its share of a job."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeat", type=int, default=5)
    repeat = parser.parse_args().repeat
    for name, code in COMMANDS.items():
        print(f"{name:18} {importing(code, repeat):6.2f} s", flush=True)
    few, many = (min(workflow(jobs) for _ in range(repeat)) for jobs in (1, 1 + JOBS))
    print(
        f"{'snakemake, start':18} {few - (many - few) / JOBS:6.2f} s\n{'snakemake, a job':18}"
        f" {(many - few) / JOBS:6.2f} s"
    )


if __name__ == "__main__":
    main()
