"""`stars report`: the page with tables, figures, lineage and feature explorer."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from stars.cli.common import add_config, named_folder, read_json


def add(commands: Any) -> None:
    """report."""
    parser = commands.add_parser(
        "report",
        help="write one page: tables, figures, their origin, map of features",
        description=(
            "Write one self-contained HTML page from existing results. (`snakemake report` also makes missing results.)"
        ),
    )
    parser.add_argument("--settings", metavar="JSON", help="settings, as a line of JSON [from the configuration]")
    parser.add_argument(
        "--files", metavar="JSON", help="with --settings: input files, as a JSON object of roles and paths"
    )
    parser.add_argument(
        "--results",
        type=Path,
        default=Path("results"),
        metavar="PATH",
        help="results folder, also of an unpacked archive [results]",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="PATH",
        help="folder to write to [report in the results folder; for an unpacked archive, ./report]",
    )
    add_config(parser)
    parser.set_defaults(handler=_report)


def _report(chosen: argparse.Namespace) -> None:
    from stars.paper import sources
    from stars.pipeline import configuration
    from stars.provenance.lineage import MANIFEST, renamed
    from stars.report.page import PAGE, ReportStage, report

    if chosen.settings is None:
        drawn = sources.report(configuration.load_file(chosen.config, chosen.set))
    else:
        drawn = sources.Drawing(read_json("--settings", chosen.settings), read_json("--files", chosen.files or "{}"))
    settings = configuration.validate(ReportStage, drawn.settings, "settings")
    results = named_folder(chosen.results)
    out = chosen.out or (Path("report") if (results / MANIFEST).is_file() else results / "report")
    report(settings, {role: renamed(path, results) for role, path in drawn.files.items()}, out, results)
    print(out / PAGE)
