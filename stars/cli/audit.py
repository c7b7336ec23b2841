"""Commands that trace results: audit and explain."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from stars.errors import InputError


def add(commands: Any) -> None:
    """audit and explain."""
    audit = commands.add_parser(
        "audit",
        help="does every result equal its record, and was it made by today's source and inputs",
        description="Compare every result with its record. Exit code 1, with a line for each, if something is not as it should be.",
    )
    audit.add_argument("results", nargs="?", type=Path, default=Path("results"), metavar="PATH", help="results folder [results]")
    audit.set_defaults(handler=_audit)
    explain = commands.add_parser(
        "explain",
        help="where a result comes from, back to the raw files",
        description="Print what a result was made from, file by file, back to the raw files, and the command that made it.",
    )
    explain.add_argument("file", type=Path, metavar="FILE", help="a result, e.g. results/tables/table2.csv")
    explain.add_argument("--cell", metavar="METHOD,COLUMN", help='one cell of a table\'s csv, e.g. "STARS,NTU-60 XSub"')
    explain.add_argument("--results", type=Path, default=Path("results"), metavar="PATH", help="results folder [results]")
    explain.set_defaults(handler=_explain)


def _audit(chosen: argparse.Namespace) -> None:
    from stars.audit import audit

    _check_folder(chosen.results)
    lines = list(audit(chosen.results))
    for line in lines:
        print(line)
    if lines:
        raise SystemExit(1)
    print(f"{chosen.results}: every result equals its record", file=sys.stderr)


def _explain(chosen: argparse.Namespace) -> None:
    from stars.explain import explain

    _check_folder(chosen.results)
    for line in explain(chosen.results, chosen.file, chosen.cell):
        print(line)


def _check_folder(results: Path) -> None:
    if not results.is_dir():
        raise InputError(f"{results} is not a folder: name the results folder, from the project's folder")
