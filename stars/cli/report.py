"""`stars report`: the page with tables, figures, lineage and the explorer."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from stars.cli.common import add_config, read_json


def add(commands: Any) -> None:
    """report."""
    parser = commands.add_parser(
        "report",
        help="one page with tables, figures, lineage and an explorer of features",
        description="Write one self-contained page from results that are there; `snakemake report` makes what is missing first.",
    )
    parser.add_argument("--settings", metavar="JSON", help="what it shows, exactly: a line of JSON; without it, as the configuration says")
    parser.add_argument("--files", metavar="JSON", help="role and path of what it reads; goes with --settings")
    parser.add_argument("--out", type=Path, default=Path("results/report"), metavar="PATH", help="folder to write into [results/report]")
    add_config(parser)
    parser.set_defaults(handler=_report)


def _report(chosen: argparse.Namespace) -> None:
    from stars.paper import sources
    from stars.pipeline import configuration
    from stars.report.page import PAGE, ReportStage, report

    if chosen.settings is None:
        drawn = sources.report(configuration.load_file(chosen.config, chosen.set))
    else:
        drawn = sources.Drawing(read_json("--settings", chosen.settings), read_json("--files", chosen.files or "{}"))
    settings = configuration.validate(ReportStage, drawn.settings, "settings")
    report(settings, {role: Path(path) for role, path in drawn.files.items()}, chosen.out)
    print(chosen.out / PAGE)
