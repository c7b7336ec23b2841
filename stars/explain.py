"""Where a number comes from: from a table's cell back to the raw files."""

from __future__ import annotations

import csv
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from stars.errors import InputError
from stars.provenance.lineage import Lineage, Record


def explain(results: Path, path: Path, cell: str | None = None, program: str = "stars") -> Iterator[str]:
    """Lines that lead from a result to the raw files, and the commands that make it again, to be run in the project's folder.

    Args:
        results: the results folder; path: a file in it, from the project's folder.
        cell: of a table's csv, "METHOD,COLUMN": the chain of that cell's own files alone, of every seed.
        program: what `stars` is called by where the commands are to be run.

    Raises:
        InputError: no record speaks of the file, or the table has no such cell.
    """
    lineage = Lineage.read(results)
    starts = [path]
    if cell is not None:
        value, starts = _sources(lineage.project / path, cell)
        yield f"{cell} in {path}: {value}"
    for start in starts:
        for depth, file, digest, maker in lineage.chain(start):
            yield "  " * (depth + (cell is not None)) + f"{file}  {digest[:12]}  {_made(maker)}"
    makers = lineage.makers()
    for maker in dict.fromkeys(makers[file] for file in (*starts, path) if file in makers):
        yield f"make again: {program} {shlex.join(maker.told['command'][1:])}"


def _made(record: Record | None) -> str:
    """Who made a file, with what seed and code, where and how long it took."""
    if record is None:
        return "given"
    told, code = record.told, record.told["code"]
    commit = f"commit {code['commit'][:9]}{' + changes' if code['dirty'] else ''}" if code["commit"] else f"source {code['digest'][:9]}"
    seed = f"seed {told['seed']}, " if told["seed"] is not None else ""
    return f"{record.stage}, {seed}{commit}, {told['hardware']['host']}, {told['started']}, {told['wall_seconds']:.1f} s"


def _sources(table: Path, cell: str) -> tuple[str, list[Path]]:
    """Value and source files of this run's cell "METHOD,COLUMN" of a table; names are compared by letters and digits alone."""
    wanted = tuple(_plain(part) for part in cell.rsplit(",", 1))
    try:
        with table.open(encoding="utf-8", newline="") as file:
            own = [row for row in csv.DictReader(file) if row["origin"] == "this run"]
        cells = {(_plain(row["method"]), _plain(row["column"])): row for row in own}
    except (OSError, KeyError, csv.Error, UnicodeDecodeError):
        raise InputError(f"{table} is not a table's csv that stars wrote: name one of results/tables") from None
    if wanted not in cells:
        known = "; ".join(f"{row['method']},{row['column']}" for row in own if row["value"])
        raise InputError(f"{table} has no cell of this run {cell!r}: it has {known or 'none'}")
    row = cells[wanted]
    if not row["source"] or not row["value"]:
        raise InputError(f"{table}: the cell {cell!r} is empty: {row['reason']}")
    return row["value"], [Path(source) for source in row["source"].split(";")]


def _plain(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.lower())
