"""What `stars plan` predicts beside what the records of a finished run say, stage by stage, as Markdown.

    python benchmarks/rehearsal.py [--config config/paper.yaml+config/rehearsal.yaml] [--machine NAME]

Run it from the project's folder. CPU time, the largest resident memory of a job and the bytes written are from the
records. Jobs without a CPU time in their record (from versions before it was recorded) are left out. Predicted is what
`stars plan --everything` counts for the same jobs, from the rates in config/rates.csv alone. What a rule requests is
read from workflow/rules.
"""

from __future__ import annotations

import argparse
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from stars.pipeline import configuration
from stars.plan import jobs, rates, work
from stars.plan.jobs import Job
from stars.provenance.lineage import Lineage

CONFIG = "config/paper.yaml+config/rehearsal.yaml"
SAME = {"few_shot": "few-shot", "transfer": "finetune"}  # folders of results/benchmarks whose commands have other names

Key = tuple[str, frozenset[tuple[str, tuple[str, ...]]]]


@dataclass
class Total:
    """Jobs of a stage, their CPU seconds, the most memory of one, and their bytes on disk."""

    jobs: int = 0
    seconds: float = 0.0
    memory: float = 0.0
    disk: float = 0.0

    def add(self, seconds: float, memory: float, disk: float, jobs: int = 1) -> None:
        """Count a job, or several."""
        self.jobs += jobs
        self.seconds += seconds
        self.memory = max(self.memory, memory)
        self.disk += disk


Totals = dict[str, Total]


def compared(config_path: str, machine: str | None, results: Path) -> tuple[Totals, Totals]:
    """Each stage as planned and as measured, over the jobs with a CPU time in their record."""
    config, known = configuration.load_file(config_path), rates.load(Path("config/rates.csv"))
    one = known[machine] if machine else next(iter(known.values()))
    planned: Totals = defaultdict(Total)
    measured: Totals = defaultdict(Total)
    recorded: dict[Key, list[Total]] = defaultdict(list)
    for of, taken in records(results):
        recorded[of].append(taken)
    for job in jobs.planned(config, config_path, [], everything=True):
        if not recorded[key(job)]:
            continue
        done, was = work.of(job, config), recorded[key(job)].pop()
        planned[job.stage].add(one.seconds(job.stage, done, {}) or 0.0, done.memory, done.disk)
        measured[job.stage].add(was.seconds, was.memory, was.disk)
    return planned, measured


def records(results: Path) -> Iterator[tuple[Key, Total]]:
    """What each job took."""
    for record in Lineage.read(results).records:
        if "cpu_seconds" in record.told:
            sizes = [results.parent / path for path in record.outputs]
            disk = sum(path.stat().st_size for path in sizes if path.is_file())
            memory = 1e6 * record.told["peak_memory_mb"]
            yield key(Job.of(record.told["command"][1:])), Total(1, record.told["cpu_seconds"], memory, disk)


def key(job: Job) -> Key:
    """What tells jobs apart: the command with its paths, without settings."""
    return job.stage, frozenset(job.options.items())


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


def lines(plan: Totals, run: Totals, limits: dict[str, float]) -> Iterator[str]:
    """A row a stage, the longest first, then the sum."""
    yield (
        "| stage | jobs | CPU time planned, s | measured, s | ratio | memory planned, MB | peak, MB | requested, MB |"
        " disk planned, MB | written, MB |"
    )
    yield "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|"
    both = Total(), Total()
    for stage in sorted(run, key=lambda stage: -run[stage].seconds):
        told, was = plan[stage], run[stage]
        for total, one in zip(both, (told, was), strict=True):
            total.add(one.seconds, one.memory, one.disk, one.jobs)
        yield _row(stage, told, was, limits.get(stage))
    yield _row("**all**", *both, None)


def _row(stage: str, told: Total, was: Total, limit: float | None) -> str:
    memory = [f"{one / 1e6:,.0f}" for one in (told.memory, was.memory)] + [f"{limit / 1e6:,.0f}" if limit else ""]
    disk = [f"{one / 1e6:,.0f}" for one in (told.disk, was.disk)]
    times = [f"{told.seconds:,.0f}", f"{was.seconds:,.0f}", f"{told.seconds / was.seconds:.2f}"]
    return f"| {stage} | {was.jobs} | " + " | ".join((*times, *memory, *disk)) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--config", default=CONFIG)
    parser.add_argument("--machine", help="in config/rates.csv [the first]")
    chosen = parser.parse_args()
    both = compared(chosen.config, chosen.machine, Path("results"))
    print("\n".join(lines(*both, asked(Path("workflow/rules")))))


if __name__ == "__main__":
    main()
