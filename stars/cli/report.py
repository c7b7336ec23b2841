"""`stars report`: the page with tables, figures, lineage and the explorer."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from stars.cli.common import add_config, named_folder, read_json


def add(commands: Any) -> None:
    """report."""
    parser = commands.add_parser(
        "report",
        help="one page with tables, figures, lineage and an explorer of features",
        description="Write one self-contained page from results that are there; `snakemake report` makes what is missing first.",
    )
    parser.add_argument("--settings", metavar="JSON", help="what it shows, exactly: a line of JSON; without it, as the configuration says")
    parser.add_argument("--files", metavar="JSON", help="role and path of what it reads; goes with --settings")
    parser.add_argument(
        "--results",
        type=Path,
        default=Path("results"),
        metavar="PATH",
        help="results folder, wherever it lies and whatever it is called, also of an unpacked archive [results]",
    )
    parser.add_argument(
        "--out", type=Path, metavar="PATH", help="folder to write into [report in the results folder; of an unpacked archive, report here]"
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
