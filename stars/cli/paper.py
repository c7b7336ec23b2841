"""Commands that write tables, figures, the comparison page and the claims."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stars import shipped
from stars.cli.common import CLIPS, TEST, add_config, read_json
from stars.errors import InputError

FIGURES = {
    "fig1": "accuracy against training time",
    "fig3a": "layer-wise decay",
    "fig3b": "queue size",
    "fig4": "t-SNE",
    "fig6": "confusion matrix",
    "curves": "training curves",
}
PUBLISHED = "folder of published numbers [config/published]"


def add(commands: Any) -> None:
    """table, figure, comparison and claims."""
    text = "a table of the paper: published rows and rows of this run"
    table = commands.add_parser("table", help=f"write {text}", description=f"Write {text}.")
    table.add_argument(
        "number",
        nargs="?",
        type=int,
        choices=range(1, 12),
        metavar="N",
        help="number of the table, 1 to 11",
    )
    text = "a figure of the paper, or training curves, of this run"
    figure = commands.add_parser("figure", help=f"draw {text}", description=f"Draw {text}.")
    figure.add_argument(
        "name", choices=list(FIGURES), help="; ".join(f"{name}: {what}" for name, what in FIGURES.items())
    )
    figure.add_argument("--clips", type=Path, metavar="PATH", help=CLIPS + " [the configuration's]")
    figure.add_argument("--test", type=Path, metavar="PATH", help=TEST + " [the configuration's]")
    text = "the comparison page: all methods on one split"
    page = commands.add_parser("comparison", help=f"write {text}", description=f"Write {text}.")
    text = "test the paper's claims on this run"
    claims = commands.add_parser(
        "claims",
        help=text,
        description="Test the paper's claims on this run; write differences, confidence intervals and verdicts.",
    )
    for parser, handler in ((table, _table), (figure, _figure), (page, _comparison), (claims, _claims)):
        parser.add_argument("--settings", metavar="JSON", help="settings, as a line of JSON [from the configuration]")
        parser.add_argument(
            "--files", metavar="JSON", help="with --settings: input files, as a JSON object of roles and paths"
        )
        parser.add_argument(
            "--published", type=Path, default=shipped.found("config/published"), metavar="PATH", help=PUBLISHED
        )
        parser.add_argument("--out", type=Path, required=True, metavar="PATH", help="folder to write to")
        add_config(parser)
        parser.set_defaults(handler=handler)


def _table(chosen: argparse.Namespace) -> None:
    from stars.paper import hyperparameters, sources, tables
    from stars.pipeline import configuration

    if chosen.settings is None and chosen.number is None:
        raise InputError("table: give its number, 1 to 11, or --settings")
    settings, files = _drawing(chosen, lambda config: sources.table(config, chosen.number))
    if settings.get("number") in sources.HYPERPARAMETERS:
        hyperparameters.build(
            configuration.validate(hyperparameters.HyperparametersStage, settings, "settings"),
            chosen.published,
            chosen.out,
        )
    else:
        tables.build(
            configuration.validate(tables.TableStage, settings, "settings"), files, chosen.published, chosen.out
        )


def _figure(chosen: argparse.Namespace) -> None:
    from stars.paper import figures, sources
    from stars.pipeline import configuration, layout

    if chosen.settings is None:
        config = configuration.load_file(chosen.config, chosen.set)
        data, split = sources.place(config, config.fig6 if chosen.name == "fig6" else config.fig4)
        chosen.clips = chosen.clips or Path(layout.clips(data))
        chosen.test = chosen.test or Path(layout.split_rows(data, split, "test"))
    settings, files = _drawing(chosen, lambda config: sources.figure(config, chosen.name))
    if chosen.name == "fig1":
        figures.fig1(
            configuration.validate(figures.Fig1Stage, settings, "settings"), files, chosen.published, chosen.out
        )
    elif chosen.name in ("fig3a", "fig3b"):
        figures.sweep(configuration.validate(figures.SweepStage, settings, "settings"), files, chosen.out)
    elif chosen.name == "fig4":
        figures.fig4(
            configuration.validate(figures.Fig4Stage, settings, "settings"),
            chosen.clips,
            chosen.test,
            files,
            chosen.out,
        )
    elif chosen.name == "fig6":
        figures.fig6(
            configuration.validate(figures.Fig6Stage, settings, "settings"),
            chosen.clips,
            files["predictions"],
            chosen.out,
        )
    else:
        figures.curves(configuration.validate(figures.CurvesStage, settings, "settings"), files, chosen.out)


def _comparison(chosen: argparse.Namespace) -> None:
    from stars.paper import comparison, sources
    from stars.pipeline import configuration

    settings, files = _drawing(chosen, lambda config: sources.comparison(config, *sources.comparison_runs(config)[0]))
    comparison.comparison(configuration.validate(comparison.ComparisonStage, settings, "settings"), files, chosen.out)


def _claims(chosen: argparse.Namespace) -> None:
    from stars.paper import sources
    from stars.paper.claims import judge
    from stars.pipeline import configuration

    settings, files = _drawing(chosen, sources.claims)
    judge.judge(configuration.validate(judge.ClaimsStage, settings, "settings"), files, chosen.out)


def _drawing(chosen: argparse.Namespace, plan: Callable[[Any], Any]) -> tuple[Any, dict[str, Path]]:
    """Settings and files of a table or figure, exactly as given or from the configuration."""
    from stars.paper import sources
    from stars.pipeline import configuration

    if chosen.settings is None:
        drawn = plan(configuration.load_file(chosen.config, chosen.set))
    else:
        drawn = sources.Drawing(read_json("--settings", chosen.settings), read_json("--files", chosen.files or "{}"))
    return drawn.settings, {role: Path(path) for role, path in drawn.files.items()}
