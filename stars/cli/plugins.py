"""Commands for plugin protocols and tables."""

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
    """plugin-protocol and plugin-table."""
    protocol = _command(commands, "plugin-protocol", "run a plugin protocol, plugins/protocols/NAME.py", _protocol)
    for name, text in PROTOCOL.items():
        protocol.add_argument(
            f"--{name}", required=True, metavar="PATH", type=str if name == "target" else Path, help=text
        )
    table = _command(commands, "plugin-table", "write a plugin table, plugins/tables/NAME.py", _table)
    table.add_argument(
        "--files", metavar="JSON", help="with --settings: input files, as a JSON object of roles and paths"
    )
    table.add_argument("--out", type=Path, required=True, metavar="PATH", help="folder to write to")


def _command(commands: Any, name: str, text: str, handler: Any) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
    parser.add_argument("name", nargs="?", metavar="NAME", help="name in the configuration; or give --settings")
    parser.add_argument("--settings", metavar="JSON", help="settings, as a line of JSON [from the configuration]")
    add_config(parser)
    parser.set_defaults(handler=handler)
    return parser


def _protocol(chosen: argparse.Namespace) -> None:
    from stars.evaluation.plugin import PluginStage, evaluate
    from stars.pipeline import configuration, plugin_results

    if chosen.settings is None:
        config = configuration.load_file(chosen.config, chosen.set)
        told = plugin_results.protocol_settings(config, _named("protocols", chosen, config.protocols))
    else:
        told = read_json("--settings", chosen.settings)
    evaluate(
        settings=configuration.validate(PluginStage, told, "settings"),
        **{name: getattr(chosen, name) for name in PROTOCOL},
    )


def _table(chosen: argparse.Namespace) -> None:
    from stars.paper.plugin_table import PluginTableStage, build
    from stars.pipeline import configuration, plugin_results

    if chosen.settings is None:
        config = configuration.load_file(chosen.config, chosen.set)
        told, files = plugin_results.table(config, _named("tables", chosen, config.tables))
    else:
        told, files = read_json("--settings", chosen.settings), read_json("--files", chosen.files or "{}")
    build(
        configuration.validate(PluginTableStage, told, "settings"),
        {role: Path(path) for role, path in files.items()},
        chosen.out,
    )


def _named(block: str, chosen: argparse.Namespace, known: dict[str, Any]) -> str:
    from stars.pipeline.configuration import nearest

    if chosen.name is None:
        raise InputError(f"give a NAME under {block} in {chosen.config}, or --settings")
    if chosen.name not in known:
        raise InputError(f"{chosen.config}: no {chosen.name} under {block}{nearest(chosen.name, known)}")
    return str(chosen.name)
