"""Commands that trace results: audit, pack and explain."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from stars.errors import InputError


def add(commands: Any) -> None:
    """audit, pack and explain."""
    audit = commands.add_parser(
        "audit",
        help="does every result equal its record, and was it made by today's source and inputs",
        description="Compare every result with its record. Exit code 1, with a line for each, if something is not as it should be.",
    )
    audit.add_argument("results", nargs="?", type=Path, default=Path("results"), metavar="PATH", help="results folder [results]")
    audit.add_argument("--packed", action="store_true", help="the folder was unpacked from an archive of `stars pack`")
    audit.add_argument(
        "--config",
        action="append",
        metavar="FILE",
        help="configuration that results must be as it would make them; give it again for each other one that made some [config/config.yaml]",
    )
    audit.set_defaults(handler=_audit)
    pack = commands.add_parser(
        "pack",
        help="the results as one archive with a manifest",
        description="Pack every result and record into one zip with a manifest; `stars audit --packed` checks it where it was unpacked.",
    )
    pack.add_argument("results", nargs="?", type=Path, default=Path("results"), metavar="PATH", help="results folder [results]")
    pack.add_argument("--out", type=Path, required=True, metavar="FILE", help="archive to write, ending in .zip")
    pack.add_argument("--with-clips", action="store_true", help="the joints of all clips too, if their owners allow it")
    pack.set_defaults(handler=_pack)
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
    from stars import recipes
    from stars.audit import audit

    _check_folder(chosen.results)
    configs = [] if chosen.packed else [recipes.load_file(path) for path in chosen.config or ["config/config.yaml"]]
    lines = list(audit(chosen.results, chosen.packed, configs))
    for line in lines:
        print(line)
    if lines:
        raise SystemExit(1)
    print(f"{chosen.results}: every result equals its record", file=sys.stderr)


def _pack(chosen: argparse.Namespace) -> None:
    from stars.pack import pack

    _check_folder(chosen.results)
    told = pack(chosen.results, chosen.out, chosen.with_clips)
    print(f"{chosen.out}: {len(told['files'])} files, {len(told['left_out'])} with the joints of clips left out", file=sys.stderr)


def _explain(chosen: argparse.Namespace) -> None:
    from stars.explain import explain

    _check_folder(chosen.results)
    for line in explain(chosen.results, chosen.file, chosen.cell):
        print(line)


def _check_folder(results: Path) -> None:
    if not results.is_dir():
        raise InputError(f"{results} is not a folder: name the results folder, from the project's folder")
