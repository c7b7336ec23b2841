"""Recompute a table's cells from its results and compare them with its csv."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stars import shipped
from stars.config.reading import validate
from stars.errors import InputError
from stars.paper import hyperparameters, published, render, tables
from stars.paper.grid import Table
from stars.provenance import intact
from stars.provenance.lineage import Record, renamed

STAGES = ("stars.paper.tables",)
PLACE = ("origin", "group", "method", "recipe", "column")  # these identify a line of a table's csv
LONGEST = 60  # characters of a field in a message


@dataclass(frozen=True)
class Difference:
    """A cell that differs from its results: its PLACE in the csv, and the difference in words."""

    place: tuple[str, ...]
    words: str

    def __str__(self) -> str:
        return f"cell {self.place[2]}, {self.place[4]} ({self.place[0]}): {self.words}"


def of_record(record: Record, files: intact.Files) -> Iterator[tuple[Path, Difference | str]]:
    """Cells of a record's table that differ from its results, each with the table's file; none for other records."""
    table = next((path for path in record.outputs if path.suffix == ".csv"), None)
    if record.stage not in STAGES or table is None or files[table] is None:
        return
    try:
        ours, right = (_lines(text) for text in (_text(table, files), _again(record, files.project, ".csv")))
    except InputError as error:
        yield table, f"its cells cannot be recomputed: {error}"
        return
    for place in dict.fromkeys((*ours, *right)):
        if words := _in_words(ours.get(place), right.get(place)):
            yield table, Difference(place, words)


def other_forms(record: Record, files: intact.Files) -> Iterator[str]:
    """A phrase for each format of a record's table, except csv, that does not show its results.

    Only for tables made by the current source: the wording of another version may differ.
    """
    for path in record.outputs:
        if path.suffix == ".csv" or files[path] is None:
            continue
        try:
            if _text(path, files) != _again(record, files.project, path.suffix):
                yield f"{path} does not show its results"
        except InputError as error:
            yield f"{path}: cannot be recomputed: {error}"


def _text(path: Path, files: intact.Files) -> str:
    return (files.project / path).read_text(encoding="utf-8", errors="replace")


def _again(record: Record, project: Path, ending: str) -> str:
    """Recompute a table in one of its formats from its record, with file names as recorded.

    The published numbers are the project's, or this installation's if it has none.

    Raises:
        InputError: a result or the published table is missing or damaged, or the settings are from another version.
    """
    noted = {role: Path(entry["path"]) for role, entry in record.told["inputs"].items()}
    there = {role: project / renamed(path, record.results) for role, path in noted.items()}
    try:
        folder = next(
            (
                home / noted["published"].parent
                for home in (project, shipped.FOLDER)
                if (home / noted["published"]).is_file()
            ),
            project,
        )
        text = tables.text(_table(record.told["settings"], there, folder), ending)
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"its settings are from another version ({error!r})") from None
    for role, path in there.items():
        text = text.replace(path.as_posix(), noted[role].as_posix())
    return text


def _in_words(ours: Mapping[str, str] | None, right: Mapping[str, str] | None) -> str:
    """The fields of a cell that differ from its results; "" if all are equal."""
    if ours is None or right is None:
        return "its results give this cell, the table lacks it" if ours is None else "its results do not give this cell"
    fields = [name for name in render.FIELDS if ours.get(name) != right.get(name)]
    return "; ".join(
        f"the table says {name} {_shown(ours.get(name))}, its results give {_shown(right.get(name))}" for name in fields
    )


def _shown(value: str | None) -> str:
    return "nothing" if not value else value if len(value) <= LONGEST else f"{value[:LONGEST]}…"


def _table(settings: dict[str, Any], files: dict[str, Path], folder: Path) -> Table:
    number = settings["number"]
    printed = published.sources(folder, number)["published"]
    if "settings" in settings:
        told = validate(hyperparameters.HyperparametersStage, settings, "settings")
        return hyperparameters.assemble(told, hyperparameters.load(printed), published.layout(folder, number).title)
    told_runs = validate(tables.TableStage, settings, "settings")
    return tables.assemble(
        told_runs, published.load(folder, number, told_runs.newer), told_runs.used(files), files["published"]
    )


def _lines(text: str) -> dict[tuple[str, ...], dict[str, str]]:
    """The lines of the csv by PLACE."""
    return {tuple(line.get(name) or "" for name in PLACE): line for line in csv.DictReader(text.splitlines())}
