"""Traces a number from a table's cell back to the raw files."""

from __future__ import annotations

import csv
import os
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from stars.audit import current
from stars.audit.chain import check
from stars.audit.made_with import made_with
from stars.errors import InputError
from stars.program import program
from stars.provenance.files import read_json
from stars.provenance.lineage import MANIFEST, Lineage, Record, renamed

OWN = ("this run", "p-value")  # origins of cells that can be explained
SHORT = 200  # characters of the longest command that is printed
FORMS = (".md", ".tex", ".html")  # of a table, beside its csv


@dataclass(frozen=True)
class Explanation:
    """Result of `explain`: whether all files match their records, and lines that lead back to the raw files."""

    whole: bool
    lines: tuple[str, ...]


def explain(results: Path, path: Path, cell: str | None = None) -> Explanation:
    """Lines from a result to the raw files, and the command that rebuilds it in the project's folder.

    The first line says whether the file and everything behind it match their records, and whether a cell follows from
    its results.

    Args:
        results: the results folder; path: a file in it, relative to the folder above it.
        cell: a cell of a table, "METHOD,COLUMN", the column by key or heading: only the chain of this cell's files,
            for every seed. `path` is the table's csv, or another form of it beside that.

    Raises:
        InputError: the file has no record, or the table no such cell.
    """
    lineage = Lineage.read(results)
    if cell is not None and path.suffix in FORMS and (lineage.project / path).with_suffix(".csv").is_file():
        path = path.with_suffix(".csv")
    row = None if cell is None else _row(lineage.project / path, cell)
    starts = [path] if row is None else [renamed(source, Path(results.name)) for source in row["source"].split(";")]
    chains = [step for start in starts for step in lineage.chain(start)]
    found = check(lineage, results, list(dict.fromkeys((path, *(file for _, file, _, _ in chains)))), row)
    lines = [*found.lines(), *_place(results), *([] if row is None else [f"{cell} in {path}: {row['value']}"])]
    lines.append(
        f"{starts[0]} was made on {_machine(lineage.makers()[starts[0]])};"
        " settings and machine of each file: its record, in brackets"
    )
    for depth, file, digest, maker in chains:
        lines.append("  " * (depth + (row is not None)) + f"{file}  {digest[:12]}  {_made(file, maker)}")
    return Explanation(not found.faults, (*lines, *_again(lineage, results, (*starts, path))))


def _again(lineage: Lineage, results: Path, files: Sequence[Path]) -> Iterator[str]:
    """Commands that rebuild files, and what depends on them."""
    makers = lineage.makers()
    again = {makers[file]: file for file in reversed(files) if file in makers}
    by_rule = {
        record: file
        for record, file in reversed(again.items())
        if not current.made_by_hand(Path(*record.path.parts[1:]))
    }
    behind = dict.fromkeys(
        record for file in again.values() for *_, record in lineage.chain(file) if record is not None
    )
    options = made_with(results, list(behind)) if by_rule else None
    if options is not None:
        yield (
            f"make again: {program('snakemake', results.parent)} --cores 2"
            f" {shlex.join([*options, '--force', '--', *map(str, by_rule.values())])}"
        )
    for record in again if options is None else again.keys() - by_rule.keys():
        command = f"{program('stars', results.parent)} {shlex.join(record.told['command'][1:])}"
        short = len(command) <= SHORT
        yield (
            f"make again: {command}"
            if short
            else f"make again: run the `command` in {record.path}; no configuration here has its `settings`"
        )
    if _leads_on(lineage, list(again)):
        yield (
            "then run snakemake as before: it rebuilds what depends on these; until then,"
            f" `{program('stars', results.parent)} audit` lists it"
        )


def _place(results: Path) -> Iterator[str]:
    """The folder for paths and commands, if it is not the current one."""
    if (results / MANIFEST).is_file():
        yield (
            f"{results} was unpacked from an archive: paths are relative to {results.parent}; run the commands in the"
            " project that packed it"
        )
    elif not results.parent.samefile(Path.cwd()):
        yield f"paths are relative to {results.parent}; run the commands there"


def _leads_on(lineage: Lineage, again: Sequence[Record]) -> bool:
    """Whether other results depend on these records' outputs."""
    made = {path for record in again for path in (record.path, *record.outputs)}
    return any(made & record.inputs.keys() for record in lineage.records if record not in again)


def _machine(record: Record) -> str:
    """Processor, cores and GPU of a record."""
    found = record.told["hardware"]
    return ", ".join([found["cpu"], f"{found['cores']} cores", *([found["gpu"]] if "gpu" in found else [])])


def _made(file: Path, record: Record | None) -> str:
    """Stage, seed, code, host, time and duration of a file's origin, and its record, seen from the file."""
    if record is None:
        return "given"
    content, code = record.told, record.told["code"]
    commit = (
        f"commit {code['commit'][:9]}{' + changes' if code['dirty'] else ''}"
        if code["commit"]
        else f"source {code['digest'][:9]}"
    )
    seed = f"seed {content['seed']}, " if content["seed"] is not None else ""
    return (
        f"{record.stage}, {seed}{commit}, {content['hardware']['host']}, {content['started']},"
        f" {content['wall_seconds']:.1f} s [{os.path.relpath(record.path, file.parent)}]"
    )


def _row(table: Path, cell: str) -> dict[str, str]:
    """The csv's line of this run's cell "METHOD,COLUMN"; names are compared by letters and digits only."""
    try:
        with table.open(encoding="utf-8", newline="") as file:
            own = [row for row in csv.DictReader(file) if row["origin"] in OWN]
        shown = _headings(table)
        cells = {(_plain(row["method"]), _plain(shown[row["column"]])): row for row in own if row["column"] in shown}
        cells |= {(_plain(row["method"]), _plain(row["column"])): row for row in own}
    except (OSError, KeyError, csv.Error, UnicodeDecodeError):
        raise InputError(f"{table} is not a table (.csv) that stars wrote: give one of results/tables") from None
    words = cell.split(",")  # methods and headings may contain commas
    named = [(_plain(",".join(words[:at])), _plain(",".join(words[at:]))) for at in range(1, len(words))]
    row = next((cells[one] for one in named if one in cells), None)
    if row is None:
        known = "; ".join(f"{row['method']},{row['column']}" for row in own if row["value"])
        raise InputError(f"{table} has no cell of this run {cell!r}: it has {known or 'none'}")
    if not row["source"] or not row["value"]:
        raise InputError(f"{table}: the cell {cell!r} is empty: {row['reason']}")
    return row


def _headings(table: Path) -> dict[str, str]:
    """Column → its unique displayed heading, from the table's json; empty if that cannot be read."""
    try:
        found = {
            column["key"]: f"{column['group']} {column['title']}"
            for column in read_json(table.with_suffix(".json"))["columns"]
        }
    except (InputError, KeyError, TypeError):
        return {}
    return {column: heading for column, heading in found.items() if list(found.values()).count(heading) == 1}


def _plain(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.lower())
