"""`stars COMMAND`: each stage of the pipeline, callable without Snakemake.

A command takes the files it reads and writes as options, and its settings in one of two ways: resolved from a configuration
(`--config`, `--data`, `--method`, `--set`), or exactly as given (`--settings`, which the workflow uses). Stages are imported when
they run, so that `stars --help` answers at once.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from stars.errors import InputError, Interrupted

REQUEUE = 75  # EX_TEMPFAIL: progress is saved, running the command again continues


@dataclass(frozen=True)
class Command:
    """One command: the stage's settings class and function, and the paths it takes, in the order of the function's parameters."""

    help: str
    stage: str
    settings: str
    run: str
    paths: dict[str, str]
    trains: bool = False
    uses_device: bool = False


CLIPS = "folder of the clip store"
TRAIN, TEST = "split file with the rows that train (.npy)", "split file with the rows that test (.npy)"
COMMANDS = {
    "simulate": Command(
        "write synthetic raw files in NTU's layout", "simulate", "stars.config:Simulate", "stars.data.simulate:simulate",
        {"out": "file ending in .zip, or a folder, to write"},
    ),
    "ingest": Command(
        "raw skeleton files to clips", "ingest", "stars.ingest:IngestStage", "stars.ingest:ingest",
        {"raw": "folder or zip with the raw files", "out": "folder of the clip store to write"},
    ),
    "split": Command(
        "training and test rows of an evaluation split", "split", "stars.data.splits:SplitStage", "stars.data.splits:split",
        {"clips": CLIPS, "out": "folder for the split's files"},
    ),
    "scratch": Command(
        "an encoder with random weights (the floor)", "scratch", "stars.training.scratch:ScratchStage", "stars.training.scratch:scratch",
        {"clips": CLIPS, "out": "method folder to write"},
    ),
    "pretrain": Command(
        "stage 1: masked motion prediction", "pretrain", "stars.training.pretrain:PretrainStage", "stars.training.pretrain:pretrain",
        {"clips": CLIPS, "train": TRAIN, "out": "method folder to write"}, trains=True, uses_device=True,
    ),
    "tune": Command(
        "stage 2: nearest-neighbour contrastive tuning", "tune", "stars.training.tune:TuneStage", "stars.training.tune:tune",
        {"clips": CLIPS, "train": TRAIN, "parent": "encoder.safetensors to start from", "out": "method folder to write"},
        trains=True, uses_device=True,
    ),
    "embed": Command(
        "features of a trained encoder", "embed", "stars.evaluation.features:EmbedStage", "stars.evaluation.features:embed",
        {"clips": CLIPS, "train": TRAIN, "test": TEST, "method": "method folder with encoder.safetensors", "out": "folder for the features",
         "target": "name of the data set embedded"},
        uses_device=True,
    ),
    "knn": Command(
        "K-nearest-neighbour protocol", "knn", "stars.evaluation.knn:KnnStage", "stars.evaluation.knn:evaluate",
        {"features": "folder of the features", "target": "name of the data set", "clips": CLIPS, "train": TRAIN, "test": TEST,
         "out": "folder for metrics.json and predictions.npz"},
    ),
    "linear": Command(
        "linear protocol", "linear", "stars.evaluation.linear:LinearStage", "stars.evaluation.linear:evaluate",
        {"method": "method folder with encoder.safetensors", "clips": CLIPS, "train": TRAIN, "test": TEST, "features": "folder of the features",
         "target": "name of the data set", "out": "folder for metrics.json and predictions.npz"},
        uses_device=True,
    ),
}  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Exit code 0: done; 1: failed; 2: bad input or configuration; 75: stopped, run again to continue."""
    chosen = _parser().parse_args(arguments)
    try:
        chosen.handler(chosen)
    except InputError as error:
        print(f"stars: {error}", file=sys.stderr)
        return 2
    except Interrupted as error:
        print(f"stars: {error}", file=sys.stderr)
        return REQUEUE
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="stars", description="Self-supervised tuning for 3D action recognition in skeleton sequences.")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, command in COMMANDS.items():
        _add_stage(commands, name, command)
    _add_others(commands)
    return parser


class _StageHelp(argparse.Action):
    """--help of a stage: usage, then every setting with its meaning, unit and default."""

    def __call__(self, parser: argparse.ArgumentParser, namespace: Any, values: Any, option: str | None = None) -> None:
        from stars.reference import settings_list

        parser.print_help()
        print("\nsettings (--set key=value, with --config):\n" + settings_list(parser.prog.split()[-1]))
        parser.exit()


def _add_stage(commands: Any, name: str, command: Command) -> None:
    parser = commands.add_parser(name, help=command.help, description=f"{command.help[0].upper()}{command.help[1:]}.", add_help=False)
    parser.add_argument("-h", "--help", action=_StageHelp, nargs=0, help="show this message and every setting")
    for path, text in command.paths.items():
        parser.add_argument(f"--{path}", required=True, metavar="NAME" if path == "target" else "PATH", help=text)
    settings = parser.add_argument_group("settings")
    settings.add_argument("--settings", metavar="JSON", help="the stage's settings, exactly: a line of JSON, or a .json or .yaml file")
    _add_config(settings)
    settings.add_argument("--data", metavar="NAME", help="data set of the configuration [its first]")
    settings.add_argument("--split", metavar="NAME", help="split of the data set [its first]") if name == "split" else None
    if name not in ("simulate", "ingest", "split"):
        settings.add_argument("--recipe", metavar="NAME", default="stars", help="method of the configuration [stars]")
    if command.uses_device:
        parser.add_argument(
            "--device", default="auto", choices=["auto", "cpu", "cuda"], help="where the arithmetic runs [auto: a GPU if there is one]"
        )
        parser.add_argument("--threads", type=int, metavar="N", help="CPU threads [all cores]")
    if command.trains:
        parser.add_argument("--work", default="results/.work", metavar="PATH", help="folder for work in progress [results/.work]")
        parser.add_argument("--checkpoint-seconds", type=float, default=60.0, metavar="S", help="seconds between checkpoints [60]")
    if name == "ingest":
        parser.add_argument("--workers", type=int, default=1, metavar="N", help="processes that read files [1]")
    parser.set_defaults(handler=_run_stage, command=command)


def _add_config(group: Any) -> None:
    group.add_argument(
        "--config", default="config/config.yaml", metavar="FILE", help="configuration to take the settings from [config/config.yaml]"
    )
    group.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="override of the configuration, e.g. tune.optimiser.lr=1e-3"
    )


def _run_stage(chosen: argparse.Namespace) -> None:
    command: Command = chosen.command
    settings = _settings(chosen)
    paths = [getattr(chosen, path) if path == "target" else Path(getattr(chosen, path)) for path in command.paths]
    options: dict[str, Any] = {}
    if command.uses_device:
        options["device"] = _device(chosen.device, chosen.threads)
    if command.trains:
        from stars.config import Checkpoint

        options["checkpoint"] = Checkpoint(seconds=chosen.checkpoint_seconds, folder=chosen.work)
    if hasattr(chosen, "workers"):
        options["workers"] = chosen.workers
    _named(command.run)(*paths, settings=settings, **options)


def _settings(chosen: argparse.Namespace) -> Any:
    """The stage's typed settings, exactly as given or resolved from the configuration."""
    from stars import recipes

    if chosen.settings is None:
        config = recipes.load_file(chosen.config, chosen.set)
        data = _choice("data", chosen.data, config.data, chosen.config)
        split = _choice("split", getattr(chosen, "split", None), config.data[data].splits, chosen.config)
        name = _choice("recipe", chosen.recipe, config.methods, chosen.config) if "recipe" in chosen else ""
        value = recipes.stage_settings(config, chosen.command.stage, data, recipes.tag(config, name, config.seeds[0]), split)
    elif chosen.settings.endswith((".json", ".yaml")):
        value = recipes.read_yaml(chosen.settings)
    else:
        value = _json("--settings", chosen.settings)
    return recipes.validate(_named(chosen.command.settings), value, "settings")


def _choice(what: str, given: str | None, known: Any, source: str) -> str:
    from stars.recipes import nearest

    if not known:
        block = {"data": "data", "recipe": "methods"}[what]
        raise InputError(f"{source}: nothing is configured under {block}: add a block there")
    if given is not None and given not in known:
        raise InputError(f"--{what} {given}: not in {source}{nearest(given, known)}")
    return given or next(iter(known))


def _device(name: str, threads: int | None) -> str:
    import torch

    if threads:
        torch.set_num_threads(threads)
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("--device cuda: torch sees no GPU here: use --device auto, or install the CUDA build (envs/torch-cuda.txt)")
    return name if name != "auto" else "cuda" if torch.cuda.is_available() else "cpu"


def _named(path: str) -> Any:
    module, name = path.split(":")
    return getattr(import_module(module), name)


def _add_others(commands: Any) -> None:
    _add_paper(commands)
    results = commands.add_parser(
        "results",
        help="this run's rows of each table, and where tables and figures lie",
        description="Print this run's rows of each table, and where tables and figures lie.",
    )
    results.add_argument("folder", nargs="?", type=Path, default=Path("results"), help="folder that the workflow wrote [results]")
    results.set_defaults(handler=_results)
    weights = commands.add_parser(
        "import-weights",
        help="a released MAMP checkpoint to encoder.safetensors",
        description="Convert a released MAMP checkpoint, without running anything in it.",
    )
    weights.add_argument("checkpoint", type=Path, help="torch file with a `model` dict")
    weights.add_argument("--out", type=Path, required=True, metavar="FILE", help="encoder.safetensors to write")
    weights.add_argument("--heads", type=int, default=8, metavar="N", help="attention heads, which the file does not tell [8]")
    weights.set_defaults(handler=_import_weights)
    config = commands.add_parser(
        "config",
        help="check or explain a configuration",
        description="Check a configuration, or write what is generated from its definition.",
    )
    config.add_argument(
        "what",
        choices=["check", "show", "reference", "schema"],
        help="check: is the file right; show: with all defaults; reference: page for docs; schema: for editors",
    )
    _add_config(config)
    config.set_defaults(handler=_config)


def _add_paper(commands: Any) -> None:
    text = "a table of the paper with this run's rows beside the published ones"
    table = commands.add_parser("table", help=text, description=f"Make {text}.")
    table.add_argument("number", nargs="?", type=int, choices=[1, 2], help="number of the table, made as the configuration says")
    table.add_argument(
        "--published", type=Path, default=Path("config/published"), metavar="PATH", help="folder of published numbers [config/published]"
    )
    text = "a figure of the paper from this run, or its training curves"
    figure = commands.add_parser("figure", help=text, description=f"Draw {text}.")
    figure.add_argument("name", choices=["fig4", "fig6", "curves"], help="fig4: t-SNE; fig6: confusion matrix; curves: of training")
    figure.add_argument("--clips", type=Path, metavar="PATH", help=CLIPS + " [the configuration's]")
    figure.add_argument("--test", type=Path, metavar="PATH", help=TEST + " [the configuration's]")
    for parser, handler in ((table, _table), (figure, _figure)):
        parser.add_argument(
            "--settings", metavar="JSON", help="what it shows, exactly: a line of JSON; without it, as the configuration says"
        )
        parser.add_argument("--files", metavar="JSON", help="role and path of what it reads; goes with --settings")
        parser.add_argument("--out", type=Path, required=True, metavar="PATH", help="folder to write into")
        _add_config(parser)
        parser.set_defaults(handler=handler)


def _table(chosen: argparse.Namespace) -> None:
    from stars import layout, recipes
    from stars.paper import tables

    if chosen.settings is None and chosen.number is None:
        raise InputError("table: give its number (1 or 2), or --settings")
    settings, files = _drawing(chosen, lambda config: layout.table(config, chosen.number))
    tables.build(recipes.validate(tables.TableStage, settings, "settings"), files, chosen.published, chosen.out)


def _figure(chosen: argparse.Namespace) -> None:
    from stars import layout, recipes
    from stars.paper import figures

    if chosen.settings is None:
        config = recipes.load_file(chosen.config, chosen.set)
        data, split = layout.chosen(config, config.fig6 if chosen.name == "fig6" else config.fig4)
        chosen.clips = chosen.clips or Path(layout.clips(data))
        chosen.test = chosen.test or Path(f"results/{data}/splits/{split}_test.npy")
    if chosen.name == "fig4":
        settings, files = _drawing(chosen, layout.fig4)
        figures.fig4(recipes.validate(figures.Fig4Stage, settings, "settings"), chosen.clips, chosen.test, files, chosen.out)
    elif chosen.name == "fig6":
        settings, files = _drawing(chosen, layout.fig6)
        figures.fig6(recipes.validate(figures.Fig6Stage, settings, "settings"), chosen.clips, files["predictions"], chosen.out)
    else:
        settings, files = _drawing(chosen, lambda config: layout.curves(config, data, split))
        figures.curves(recipes.validate(figures.CurvesStage, settings, "settings"), files, chosen.out)


def _drawing(chosen: argparse.Namespace, plan: Callable[[Any], Any]) -> tuple[Any, dict[str, Path]]:
    """Settings and files of a table or figure, exactly as given or as the configuration says."""
    from stars import layout, recipes

    if chosen.settings is None:
        drawn = plan(recipes.load_file(chosen.config, chosen.set))
    else:
        drawn = layout.Drawing(_json("--settings", chosen.settings), _json("--files", chosen.files or "{}"))
    return drawn.settings, {role: Path(path) for role, path in drawn.files.items()}


def _json(option: str, text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"{option}: not valid JSON ({error}): give a line of JSON") from None


def _results(chosen: argparse.Namespace) -> None:
    from stars.paper.summary import summary

    print(summary(chosen.folder), end="")


def _import_weights(chosen: argparse.Namespace) -> None:
    from stars.provenance.record import recording
    from stars.training.weights import import_mamp, save_encoder

    told, name = {"heads": chosen.heads}, chosen.out.name
    with recording(chosen.out.parent, "stars.training.weights", told, {"checkpoint": chosen.checkpoint}, [name], f"{name}.record.json"):
        save_encoder(chosen.out, import_mamp(chosen.checkpoint, chosen.heads))


def _config(chosen: argparse.Namespace) -> None:
    from stars import recipes, reference

    if chosen.what in ("reference", "schema"):
        print(reference.page() if chosen.what == "reference" else reference.schema(), end="")
        return
    config = recipes.load_file(chosen.config, chosen.set)
    print(
        reference.as_yaml(config)
        if chosen.what == "show"
        else f"{chosen.config}: good ({len(config.data)} data sets, {len(config.methods)} methods)"
    )
