"""Stages as commands: options, and the call of the stage's function."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from importlib import import_module
from pathlib import Path
from typing import Any

from stars.cli import inference, nodes
from stars.cli.common import add_config, device, read_json
from stars.cli.launch import follow_launcher, launch
from stars.errors import InputError
from stars.pipeline.stages import MEMBERS, STAGES, Stage


def add(commands: Any) -> None:
    """Every stage as a command."""
    for name, command in STAGES.items():
        _add_stage(commands, name, command)


def name_of_data(command: Stage) -> bool:
    """Whether a stage concerns only a data set, not a method."""
    return not any("(?P<folder>" in place for place in command.places)


class _StageHelp(argparse.Action):
    """--help of a stage: usage, then every setting with its meaning and default."""

    def __call__(self, parser: argparse.ArgumentParser, namespace: Any, values: Any, option: str | None = None) -> None:
        from stars.pipeline.reference import settings_list

        parser.print_help()
        print("\nsettings (--set key=value, with --config):\n" + settings_list(parser.prog.split()[-1]))
        parser.exit()


def _add_stage(commands: Any, name: str, command: Stage) -> None:
    parser = commands.add_parser(
        name, help=command.help, description=f"{command.help[0].upper()}{command.help[1:]}.", add_help=False
    )
    parser.add_argument("-h", "--help", action=_StageHelp, nargs=0, help="show this message and every setting")
    for path, text in command.paths.items():
        several = (
            {"nargs": "+", "type": Path} if path in ("parts", MEMBERS) else {"type": str if path == "target" else Path}
        )
        parser.add_argument(
            f"--{path}",
            required=not command.reads_files,
            metavar="NAME" if path == "target" else "PATH",
            help=text,
            **several,
        )
    for option, (kind, text) in command.options.items():
        # An option without a value counts as left out, since a rule may have no value for it.
        parser.add_argument(f"--{option}", nargs="?", type=kind, metavar="PATH" if kind is Path else "N", help=text)
    if command.reads_files:
        parser.add_argument("files", nargs="*", metavar="FILE", help=inference.FILES)
        inference.add_model(parser, required=False)
    _add_settings(parser, name, command)
    _add_devices(parser, command)
    if command.trains:
        _add_training(parser, name)
    parser.set_defaults(handler=_run_stage, command=command)


def _add_settings(parser: argparse.ArgumentParser, name: str, command: Stage) -> None:
    settings = parser.add_argument_group("settings")
    settings.add_argument(
        "--settings", metavar="JSON", help="all settings of the stage: a line of JSON, or a .json or .yaml file"
    )
    add_config(settings)
    settings.add_argument("--data", metavar="NAME", help="data set in the configuration [the first]")
    if name == "split":
        settings.add_argument("--split", metavar="NAME", help="split of the data set [the first]")
    if not name_of_data(command):
        settings.add_argument(
            "--recipe",
            metavar="NAME",
            default="stars",
            help="recipe in the configuration: a name under `methods` [stars]",
        )


def _add_devices(parser: argparse.ArgumentParser, command: Stage) -> None:
    if command.uses_device:
        parser.add_argument(
            "--device",
            default="auto",
            choices=["auto", "cpu", "cuda"],
            help="device to compute on [auto: a GPU if there is one]",
        )
        parser.add_argument("--threads", type=int, metavar="N", help="CPU threads [all cores]")
    if command.shared:
        parser.add_argument(
            "--gpus",
            type=int,
            default=1,
            metavar="N",
            help="number of GPUs that each batch is split across; with --device cpu: of processes [1]",
        )
        parser.add_argument(
            "--nodes",
            type=int,
            default=1,
            metavar="N",
            help="number of nodes of this Slurm job that contain these GPUs [1]",
        )


def _add_training(parser: argparse.ArgumentParser, name: str) -> None:
    if name != "linear":  # its encoder is not trained
        parser.add_argument(
            "--compile",
            default="no",
            choices=["yes", "no"],
            help="compile the encoder with torch.compile, where supported [no]",
        )
    parser.add_argument(
        "--work",
        default="results/.work",
        metavar="PATH",
        help="folder for checkpoints of unfinished trainings [results/.work]",
    )
    parser.add_argument(
        "--checkpoint-seconds", type=float, default=60.0, metavar="S", help="seconds between checkpoints [60]"
    )
    parser.add_argument(
        "--checkpoint-epochs",
        type=int,
        default=0,
        metavar="N",
        help="also save a checkpoint every N epochs [0: only by time]",
    )


def _run_stage(chosen: argparse.Namespace) -> int:
    from stars.jobs import devices

    command: Stage = chosen.command
    if command.reads_files and chosen.files:
        inference.embed(chosen)
        return 0
    if missing := [path for path in command.paths if getattr(chosen, path) is None]:
        raise InputError(f"give FILE and --encoder, or, for the clips of a split, --{', --'.join(missing)}")
    if command.shared and max(chosen.gpus, chosen.nodes) > 1 and "LOCAL_RANK" not in os.environ:
        follow_launcher()  # on a node other than the first
        here = nodes.share(chosen.gpus, chosen.nodes)
        if chosen.device != "cpu":
            devices.hold(here)
        return launch(chosen.arguments, chosen.gpus, chosen.nodes)
    settings = _settings(chosen)
    paths = [getattr(chosen, path) for path in command.paths]
    options = {name: getattr(chosen, name) for name in command.options if getattr(chosen, name) is not None}
    if command.uses_device:
        options["device"] = device(chosen.device, chosen.threads)
    with _training(chosen, options) if command.trains else nullcontext():
        _named(command.run)(*paths, settings=settings, **options)
    return 0


@contextmanager
def _training(chosen: argparse.Namespace, options: dict[str, Any]) -> Iterator[None]:
    """Set the checkpoint options of a training, and join the other processes that share it."""
    from stars.config import Checkpoint
    from stars.training import compiling, parallel, stopping

    options["checkpoint"] = Checkpoint(
        seconds=chosen.checkpoint_seconds, epochs=chosen.checkpoint_epochs, folder=chosen.work
    )
    follow_launcher()
    with (
        stopping.notices_kept(),
        parallel.group(options["device"]) if chosen.command.shared else nullcontext(),
        compiling.wanted(getattr(chosen, "compile", "no") == "yes"),
    ):
        yield


def _settings(chosen: argparse.Namespace) -> Any:
    """The stage's typed settings, exactly as given or resolved from the configuration."""
    from stars.pipeline import configuration

    if chosen.settings is None:
        config = configuration.load_file(chosen.config, chosen.set)
        data = _choice("data", chosen.data, config.data, chosen.config)
        split = _choice("split", getattr(chosen, "split", None), config.data[data].splits, chosen.config)
        name = _choice("recipe", chosen.recipe, config.methods, chosen.config) if "recipe" in chosen else ""
        value = configuration.stage_settings(
            config, chosen.command.name, data, configuration.tag(config, name, config.seeds[0]), split
        )
    elif chosen.settings.endswith((".json", ".yaml")):
        value = configuration.read_yaml(chosen.settings)
    else:
        value = read_json("--settings", chosen.settings)
    return configuration.validate(_named(chosen.command.settings), value, "settings")


def _choice(what: str, given: str | None, known: Any, source: str) -> str:
    from stars.pipeline.configuration import nearest

    if not known:
        block = {"data": "data", "recipe": "methods"}[what]
        raise InputError(f"{source}: {block} is empty: add an entry")
    if given is not None and given not in known:
        raise InputError(f"--{what} {given}: not in {source}{nearest(given, known)}")
    return given or next(iter(known))


def _named(path: str) -> Any:
    module, name = path.split(":")
    return getattr(import_module(module), name)
