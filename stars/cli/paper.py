"""Commands that draw: a table, a figure."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stars.cli.common import CLIPS, TEST, add_config, read_json
from stars.errors import InputError


def add(commands: Any) -> None:
    """table and figure."""
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
        add_config(parser)
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
        drawn = layout.Drawing(read_json("--settings", chosen.settings), read_json("--files", chosen.files or "{}"))
    return drawn.settings, {role: Path(path) for role, path in drawn.files.items()}
