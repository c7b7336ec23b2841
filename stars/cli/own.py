"""Commands for protocols and tables of one's own."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from stars.cli.common import CLIPS, TEST, TRAIN, add_config, read_json
from stars.errors import InputError

PROTOCOL = {
    "features": "folder of the features",
    "target": "name of the data set",
    "clips": CLIPS,
    "train": TRAIN,
    "test": TEST,
    "out": "folder for metrics.json and predictions.npz",
}


def add(commands: Any) -> None:
    """own-protocol and own-table."""
    protocol = _command(commands, "own-protocol", "a protocol of your own: stars/evaluation/own/NAME.py", _protocol)
    for name, text in PROTOCOL.items():
        protocol.add_argument(f"--{name}", required=True, metavar="PATH", type=str if name == "target" else Path, help=text)
    table = _command(commands, "own-table", "a table of your own: stars/paper/own/NAME.py", _table)
    table.add_argument("--files", metavar="JSON", help="role and path of what it reads; goes with --settings")
    table.add_argument("--out", type=Path, required=True, metavar="PATH", help="folder to write into")


def _command(commands: Any, name: str, text: str, handler: Any) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=text, description=f"Make {text}.")
    parser.add_argument("name", nargs="?", metavar="NAME", help="its name in the configuration; or give --settings")
    parser.add_argument("--settings", metavar="JSON", help="what it is told, exactly: a line of JSON")
    add_config(parser)
    parser.set_defaults(handler=handler)
    return parser


def _protocol(chosen: argparse.Namespace) -> None:
    from stars import own, recipes
    from stars.evaluation.own import OwnStage, evaluate

    if chosen.settings is None:
        config = recipes.load_file(chosen.config, chosen.set)
        told = own.protocol_settings(config, _named(chosen, config.protocols))
    else:
        told = read_json("--settings", chosen.settings)
    evaluate(settings=recipes.validate(OwnStage, told, "settings"), **{name: getattr(chosen, name) for name in PROTOCOL})


def _table(chosen: argparse.Namespace) -> None:
    from stars import own, recipes
    from stars.paper.own import OwnTableStage, build

    if chosen.settings is None:
        config = recipes.load_file(chosen.config, chosen.set)
        told, files = own.table(config, _named(chosen, config.tables))
    else:
        told, files = read_json("--settings", chosen.settings), read_json("--files", chosen.files or "{}")
    build(recipes.validate(OwnTableStage, told, "settings"), {role: Path(path) for role, path in files.items()}, chosen.out)


def _named(chosen: argparse.Namespace, known: dict[str, Any]) -> str:
    from stars.recipes import nearest

    if chosen.name not in known:
        raise InputError(f"{chosen.config}: none of the name {chosen.name}{nearest(str(chosen.name), known)}")
    return str(chosen.name)
