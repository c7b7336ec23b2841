"""`stars bench`: measure the speed of this machine, variants side by side."""

from __future__ import annotations

import argparse
from itertools import groupby
from typing import Any

from stars.cli.common import add_config
from stars.errors import InputError

WHAT = {
    "train": "training steps of both stages and of each loss",
    "encode": "computation of features of whole clips",
    "attention": "attention of one block, forward and backward",
    "sample": "sampling of training crops",
    "knn": "exact KNN search, by default at the size of NTU-120 cross-subject",
}
IN_ALL = ("train", "encode", "attention")  # compared in several precisions; the others run in fp32
SLOW = 10  # a precision that is emulated, with a matmul slower by this factor, is left out
LEAST = {"batch": 2}  # batch normalisation needs two clips
SEARCH = {"queries": 50_919, "references": 63_026, "width": 256, "k": 10, "classes": 120}
MEANINGS = {
    "queries": "number of queries",
    "references": "number of references",
    "width": "dimension of a feature",
    "k": "number of neighbours",
    "classes": "number of classes",
}


def add(commands: Any) -> None:
    """bench."""
    text = "measure the speed of training, encoding, sampling and search"
    bench = commands.add_parser("bench", help=text, description=f"{text[0].upper()}{text[1:]}, variants side by side.")
    kinds = bench.add_subparsers(metavar="WHAT", required=True)
    for what, text in WHAT.items():
        parser = kinds.add_parser(what, help=text, description=f"Measure {text}.")
        parser.add_argument(
            "--rounds", type=int, default=5, metavar="N", help="number of timed rounds; the median is shown [5]"
        )
        parser.add_argument("--threads", type=int, metavar="N", help="CPU threads [all cores]")
        if what == "knn":
            for name, default in SEARCH.items():
                text = f"{MEANINGS[name]} [{default:,}]"
                parser.add_argument(f"--{name}", type=int, default=default, metavar="N", help=text)
        else:
            parser.add_argument("--batch", type=int, metavar="N", help="clips per round [pretrain.optimiser.batch]")
            parser.add_argument(
                "--single", type=float, default=0.75, metavar="P", help="fraction of clips with one body [0.75]"
            )
            parser.add_argument(
                "--device", default="auto", choices=["auto", "cpu", "cuda"], help="[auto: a GPU if there is one]"
            )
            add_config(parser)
        if what == "train":
            parser.add_argument(
                "--compile", action="store_true", help="also measure compiled steps (compiling takes about a minute)"
            )
            parser.add_argument(
                "--method",
                nargs="+",
                metavar="NAME",
                help="measure steps of these methods instead; only methods trained by `stars train`",
            )
            parser.add_argument("--stage", type=int, choices=[1, 2], help="measure only steps of this stage")
        parser.set_defaults(handler=_bench, what=what)


def _bench(chosen: argparse.Namespace) -> None:
    import torch

    from stars.bench import measure, table

    for name in ("rounds", "threads", "batch", *SEARCH):
        if getattr(chosen, name, None) is not None and getattr(chosen, name) < LEAST.get(name, 1):
            raise InputError(f"--{name}: give {LEAST.get(name, 1)} or more")
    if chosen.threads:
        torch.set_num_threads(chosen.threads)
    device = _device(getattr(chosen, "device", "cpu"))
    compared = _cases(chosen, device)
    compared_in = measure.precisions(device) if chosen.what in IN_ALL else ("fp32",)
    rates = {precision: measure.product_rate(device, precision) for precision in compared_in}
    print(
        f"{_name(device)}, torch {torch.__version__}",
        *(f"matmul {name} {rate / 1e9:,.0f} GFLOP/s" for name, rate in rates.items()),
        sep="; ",
    )
    slow = {precision: rates["fp32"] / rate for precision, rate in rates.items() if SLOW * rate < rates["fp32"]}
    for precision, times in slow.items():
        print(f"{precision} is not measured: its matmul is {times:,.0f} times slower than that of fp32 here")
    heading = True
    compared = (case for case in compared if case.precision not in slow)
    for _, group in groupby(compared, key=lambda case: case.group):  # one group's networks in memory at a time
        for line in table.lines(measure.measure(group, chosen.rounds, device), rates, heading):
            print(line, flush=True)
        heading = False


def _cases(chosen: argparse.Namespace, device: str) -> Any:
    from stars.bench import cases
    from stars.pipeline import configuration

    if chosen.what == "knn":
        return cases.knn(**{name: getattr(chosen, name) for name in SEARCH})
    config = configuration.load_file(chosen.config, chosen.set)
    batch = chosen.batch or config.pretrain.optimiser.batch
    if batch < LEAST["batch"]:
        raise InputError(f"pretrain.optimiser.batch is {batch}: give --batch, {LEAST['batch']} or more")
    if not 0 <= chosen.single <= 1:
        raise InputError("--single: give a fraction, 0 to 1")
    print(f"model of {chosen.config}, {batch} clips per round, {100 * chosen.single:.0f} % with one body")
    bench, stage = (
        cases.Bench(config, batch, chosen.single, device, getattr(chosen, "compile", False)),
        getattr(chosen, "stage", None),
    )
    if named := getattr(chosen, "method", None):
        if stage or chosen.compile:
            raise InputError(
                "--method: these methods have no stage 1 or 2 and are not compiled: leave out --stage and --compile"
            )
        return cases.methods(bench, named)
    compared = getattr(cases, chosen.what)(bench)
    return (case for case in compared if stage is None or case.group == f"stage {stage}")


def _device(name: str) -> str:
    import torch

    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("--device cuda: PyTorch finds no GPU: use --device auto")
    return name if name != "auto" else "cuda" if torch.cuda.is_available() else "cpu"


def _name(device: str) -> str:
    import torch

    return torch.cuda.get_device_name() if device == "cuda" else f"CPU, {torch.get_num_threads()} threads"
