"""A finished run beside its plan: time, memory and disk of each stage, as Markdown.

    python benchmarks/rehearsal.py [--config config/paper.yaml+config/rehearsal.yaml] [--machine NAME]

Run it from the project's folder. Measured are CPU seconds, as Snakemake sampled them in results/benchmarks: of a job that takes longer than
15 s, up to the last 30 s are missing. The largest resident memory of a job and the bytes written are those of the records. Predicted is what
`stars plan --everything` counts, from the rates in config/rates.csv alone. What a rule requests is read from workflow/rules.
"""

from __future__ import annotations

import argparse
import csv
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from stars.pipeline import configuration
from stars.plan import jobs, rates, work
from stars.provenance.lineage import Lineage

CONFIG = "config/paper.yaml+config/rehearsal.yaml"
SAME = {"few_shot": "few-shot", "transfer": "finetune"}  # folders of results/benchmarks whose commands have other names


@dataclass
class Total:
    """Jobs of a stage, their seconds, the most memory of one, and their bytes on disk."""

    jobs: int = 0
    seconds: float = 0.0
    memory: float = 0.0
    disk: float = 0.0

    def add(self, seconds: float = 0.0, memory: float = 0.0, disk: float = 0.0, jobs: int = 1) -> None:
        """Count a job."""
        self.jobs += jobs
        self.seconds += seconds
        self.memory = max(self.memory, memory)
        self.disk += disk


def predicted(config_path: str, machine: str | None) -> dict[str, Total]:
    """Each stage as the plan has it, every job once."""
    config = configuration.load_file(config_path)
    known = rates.load(Path("config/rates.csv"))
    found: dict[str, Total] = defaultdict(Total)
    one = known[machine] if machine else next(iter(known.values()))
    for job in jobs.planned(config, config_path, [], everything=True):
        done = work.of(job, config)
        found[job.stage].add(one.seconds(job.stage, done, {}) or 0.0, done.memory, done.disk)
    return found


def measured(results: Path) -> dict[str, Total]:
    """Each stage as it was."""
    found: dict[str, Total] = defaultdict(Total)
    for path in (results / "benchmarks").rglob("*.tsv"):
        folder = path.relative_to(results / "benchmarks").parts[0].removesuffix(".tsv")
        for line in csv.DictReader(path.read_text().splitlines(), delimiter="\t"):
            found[SAME.get(folder, folder)].add(_number(line["cpu_time"]))
    for record in Lineage.read(results).records:
        stage = record.told["command"][1] if len(record.told["command"]) > 1 else ""
        sizes = [results.parent / path for path in record.outputs]
        peak = 1e6 * (record.told["peak_memory_mb"] or 0)
        found[stage].add(memory=peak, disk=sum(path.stat().st_size for path in sizes if path.is_file()), jobs=0)
    return found


def _number(cell: str) -> float:
    return 0.0 if cell in ("NA", "-") else float(cell)


def asked(rules: Path) -> dict[str, float]:
    """Stage → the most memory, in bytes, that a rule of it asks for."""
    found: dict[str, float] = defaultdict(float)
    for path in rules.glob("*.smk"):
        for block in re.split(r"^\s*rule\b", path.read_text(), flags=re.MULTILINE)[1:]:
            folder, memory = (
                re.search(r"results/benchmarks/([\w-]+)", block),
                re.search(r"mem_mb=grows\((\d+)\)", block),
            )
            if folder and memory:
                stage = SAME.get(folder[1], folder[1])
                found[stage] = max(found[stage], 1e6 * float(memory[1]))
    return found


def lines(plan: dict[str, Total], run: dict[str, Total], limits: dict[str, float]) -> Iterator[str]:
    """A row a stage, then the sum."""
    yield (
        "| stage | jobs | time: planned, s | processor, s | ratio | memory: planned, MB | peak, MB | asked for, MB |"
        " disk: planned, MB | written, MB |"
    )
    yield "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|"
    both = Total(), Total()
    for stage in dict.fromkeys((*plan, *run)):
        told, was = plan[stage], run[stage]
        for total, one in zip(both, (told, was), strict=True):
            total.add(one.seconds, one.memory, one.disk, one.jobs)
        yield _row(stage, told, was, limits.get(stage, 0.0))
    yield _row("**all**", *both, 0.0)


def _row(stage: str, told: Total, was: Total, limit: float) -> str:
    ratio = f"{told.seconds / was.seconds:.2f}" if was.seconds else ""
    numbers = (told.memory, was.memory, limit, told.disk, was.disk)
    return (
        f"| {stage} | {was.jobs} | {told.seconds:,.0f} | {was.seconds:,.0f} | {ratio} | "
        + " | ".join(f"{one / 1e6:,.0f}" for one in numbers)
        + " |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--config", default=CONFIG)
    parser.add_argument("--machine", help="in config/rates.csv [the first]")
    chosen = parser.parse_args()
    print(
        "\n".join(
            lines(predicted(chosen.config, chosen.machine), measured(Path("results")), asked(Path("workflow/rules")))
        )
    )


if __name__ == "__main__":
    main()
