"""Commands that estimate the cost of a run, and list its jobs with reasons."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from stars.cli.common import add_config
from stars.errors import InputError


def add(commands: Any) -> None:
    """plan and changes."""
    text = "estimate the jobs, hours and disk space of a run"
    plan = commands.add_parser(
        "plan", help=text, description=f"{text[0].upper()}{text[1:]}, from Snakemake's dry run and measured speeds."
    )
    _add_options(plan)
    plan.add_argument("--tflops", type=float, metavar="N", help="assume this speed for all computation, in TFLOP/s")
    plan.add_argument("--everything", action="store_true", help="also count existing results")
    plan.set_defaults(handler=_plan)
    text = "list the jobs that a run would execute, why, and for how long"
    after = "in at most ten lines, then the command that runs them"
    changes = commands.add_parser("changes", help=text, description=f"{text[0].upper()}{text[1:]}: a dry run {after}.")
    _add_options(changes)
    changes.set_defaults(handler=_changes)


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "targets",
        nargs="*",
        metavar="TARGET",
        help="targets or files to make, e.g. table5 fig4 [`targets` in the configuration]",
    )
    add_config(parser)
    parser.add_argument(
        "--rates",
        type=Path,
        default=Path("config/rates.csv"),
        metavar="FILE",
        help="file of measured speeds of machines [config/rates.csv]",
    )
    parser.add_argument(
        "--machine",
        metavar="NAME",
        help="machine in that file [the first with a GPU or without, according to `compute.device`]",
    )


def _plan(chosen: argparse.Namespace) -> None:
    from stars import shipped
    from stars.pipeline import configuration
    from stars.plan import jobs, rates, summary

    if chosen.tflops is not None and not 0 < chosen.tflops < float("inf"):
        raise InputError("--tflops: give a number greater than 0")
    config = configuration.load_file(chosen.config, chosen.set)
    machine = _machine(
        rates.load(shipped.found(chosen.rates)), chosen.machine, _has_gpu(config.compute.device), chosen.rates
    )
    if chosen.tflops:
        machine = machine.assuming(1e12 * chosen.tflops)
    found = jobs.planned(config, chosen.config, chosen.targets, chosen.everything, configuration.overriding(chosen.set))
    own = {} if chosen.tflops else rates.own(config, Path("results"), machine.gpu)
    titles = [configuration.dataset(config, data).title for data in jobs.missing(config)]
    print(summary.report(summary.stages(found, config, machine, own), machine, own, titles), end="")


def _changes(chosen: argparse.Namespace) -> None:
    from stars import shipped
    from stars.pipeline import configuration
    from stars.plan import changes, jobs, rates

    config, overrides = configuration.load_file(chosen.config, chosen.set), configuration.overriding(chosen.set)
    results = Path("results")
    machine = _machine(
        rates.load(shipped.found(chosen.rates)), chosen.machine, _has_gpu(config.compute.device), chosen.rates
    )
    found = jobs.planned(config, chosen.config, chosen.targets, overrides=overrides)
    own = rates.own(config, results, machine.gpu)
    for line in changes.lines(changes.changes(found, results, config, machine, own)):
        print(line)
    if found:
        print("to run: " + changes.command(configuration.files(chosen.config), overrides, chosen.targets))


def _machine(known: dict[str, Any], name: str | None, gpu: bool, source: Path) -> Any:
    from stars.pipeline.configuration import nearest
    from stars.plan.rates import Machine

    if name is not None and name not in known:
        raise InputError(f"--machine {name}: not in {source}{nearest(name, known)}")
    if name is not None:
        return known[name]
    alike = [machine for machine in known.values() if machine.gpu == gpu]
    if alike or not known:
        return alike[0] if alike else Machine("this machine", gpu, {}, ())
    other = next(iter(known.values()))
    return Machine(f"a GPU (none was measured; the rest as on {other.name})", gpu, other.beside(), other.sources)


def _has_gpu(device: str) -> bool:
    if device != "auto":
        return device != "cpu"
    import torch

    return torch.cuda.is_available()
