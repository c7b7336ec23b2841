"""A plan as text: jobs, hours and disk space per stage, and the speeds used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from stars.config import Config
from stars.pipeline.stages import STAGES
from stars.plan import work
from stars.plan.jobs import Job
from stars.plan.rates import ARITHMETIC, FACTORS, STARTS, UNITS, Machine, Own

ORDER = (*STAGES, "table", "figure")


@dataclass(frozen=True)
class Stage:
    """All jobs of one stage.

    Attributes:
        operations: of the encoder; hours: None if no speed is known; disk: bytes; memory: bytes of the job that needs
            most;
        unknown: jobs of unknown size.
    """

    name: str
    jobs: int
    operations: float
    gpu_hours: float | None
    cpu_hours: float | None
    disk: float
    memory: float
    unknown: int


def stages(jobs: Sequence[Job], config: Config, machine: Machine, own: Own) -> list[Stage]:
    """The jobs by stage, in the order of the workflow."""
    names = dict.fromkeys(job.stage for job in jobs)
    return [
        _stage(name, [work.of(job, config) for job in jobs if job.stage == name], machine, own)
        for name in sorted(names, key=_order)
    ]


def _order(name: str) -> int:
    return ORDER.index(name) if name in ORDER else len(STAGES)


def _stage(name: str, done: Sequence[work.Work], machine: Machine, own: Own) -> Stage:
    seconds = _sum([machine.seconds(name, one, own) for one in done])
    hours = None if seconds is None else seconds / 3600
    gpu = machine.gpu and name in STAGES and STAGES[name].uses_device
    return Stage(
        name=name,
        jobs=len(done),
        operations=sum(one.amount for one in done if one.kind in ("train", "encode")),
        gpu_hours=hours if gpu else 0.0,
        cpu_hours=0.0 if gpu else hours,
        disk=sum(one.disk for one in done),
        memory=max(one.memory for one in done),
        unknown=sum(not one.known for one in done),
    )


def report(found: Sequence[Stage], machine: Machine, own: Own, missing: Sequence[str]) -> str:
    """The plan, ready to print."""
    heads = ["stage", "jobs", "PFLOP", "GPU-hours", "CPU-hours", "memory", "disk"]
    total = Stage(
        "total",
        sum(one.jobs for one in found),
        sum(one.operations for one in found),
        _sum([one.gpu_hours for one in found]),
        _sum([one.cpu_hours for one in found]),
        sum(one.disk for one in found),
        max((one.memory for one in found), default=0.0),
        sum(one.unknown for one in found),
    )
    lines = _aligned([heads, *(_line(one) for one in (*found, total))])
    return "\n".join([*lines, "", *_sources(machine, own), *_warnings(total, machine, missing)]) + "\n"


def _sum(hours: Sequence[float | None]) -> float | None:
    known = [one for one in hours if one is not None]
    return None if len(known) < len(hours) else sum(known)


def _line(stage: Stage) -> list[str]:
    return [
        stage.name,
        str(stage.jobs),
        _amount(stage.operations / 1e15),
        _hours(stage.gpu_hours),
        _hours(stage.cpu_hours),
        _bytes(stage.memory),
        _bytes(stage.disk),
    ]


def _hours(hours: float | None) -> str:
    return "?" if hours is None else _amount(hours)


def _amount(value: float) -> str:
    return "" if not value else f"{value:,.1f}" if value >= 0.1 else f"{value:.2f}" if value >= 0.01 else "< 0.01"


def _bytes(size: float) -> str:
    return "" if size < 5e5 else f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{size / 1e6:,.0f} MB"


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip() for row in rows]


def _sources(machine: Machine, own: Own) -> list[str]:
    shown = [f"{work} {_rate(work, rate)}" for work, rate in machine.rates.items()]
    lines = [f"Speeds of {machine.name}: {', '.join(shown) or 'none'}.", *(f"  {source}" for source in machine.sources)]
    if own:
        measured = [
            f"{stage}{'' if precision == 'fp32' else ' ' + precision} {_rate('train', rate)}"
            for (stage, precision), rate in own.items()
        ]
        lines.append(f"Speeds of your own runs (used first): {', '.join(measured)}.")
    lines.append("Hours assume one job at a time; actual times depend on the machine and its load.")
    lines.append("Memory: peak main memory of the job that needs most.")
    return [*lines, "Of pages, figures and tables, only the start is counted; waiting for a disk is not."]


def _rate(work: str, rate: float) -> str:
    shown = rate / FACTORS.get(UNITS[work], 1)
    return f"{shown:,.0f} {UNITS[work]}" if shown >= 100 else f"{shown:.3g} {UNITS[work]}"


def _warnings(total: Stage, machine: Machine, missing: Sequence[str]) -> list[str]:
    lines = []
    known = {*machine.rates, *ARITHMETIC, *(STARTS if "start" in machine.rates else ())}
    if uncounted := [work for work in UNITS if work not in known]:
        lines.append(f"Not counted: {', '.join(uncounted)}. Measure their speeds with benchmarks/rates.py.")
    if total.gpu_hours is None or total.cpu_hours is None:
        lines.append("?: unknown speed: measure it with benchmarks/rates.py, or assume one with --tflops.")
    if total.unknown:
        lines.append(
            f"{total.unknown} jobs are counted without time and disk: the number of clips in their data set is unknown."
        )
    return lines + [f"Raw files of {data} are missing; the plan assumes the complete data set." for data in missing]
