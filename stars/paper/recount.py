"""A table's cells worked out again from the results they were drawn from, and held against its csv."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stars.config.reading import validate
from stars.errors import InputError
from stars.paper import hyperparameters, published, render, tables
from stars.paper.grid import Table

PLACE = ("origin", "group", "method", "recipe", "column")  # what names a line of a table's csv


def differing(text: str, settings: dict[str, Any], files: dict[str, Path], project: Path, folder: Path) -> Iterator[str]:
    """A phrase for every cell of a table's csv that is not what the results say.

    Args:
        text: the csv.
        settings, files: what the table was told, and role → file that it read, as its record holds them.
        project: folder from which these paths count.
        folder: of the published numbers.

    Raises:
        InputError: a result or the published table is missing or damaged, or the settings are of another version.
    """
    try:
        again = render.as_csv(_table(settings, {role: project / path for role, path in files.items()}, folder))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"its settings are not of this version ({error!r})") from None
    for path in files.values():
        again = again.replace((project / path).as_posix(), path.as_posix())
    ours, right = _lines(text), _lines(again)
    for place in dict.fromkeys((*ours, *right)):
        mine, theirs = ours.get(place, {}), right.get(place, {})
        if fields := [name for name in render.FIELDS if mine.get(name) != theirs.get(name)]:
            shown = f"{mine.get('value', 'missing')}, its results give {theirs.get('value', 'no such cell')}; " if "value" in fields else ""
            yield f"cell {place[2]}, {place[4]} ({place[0]}): {shown}other than they say: {', '.join(fields)}"


def _table(settings: dict[str, Any], files: dict[str, Path], folder: Path) -> Table:
    number = settings["number"]
    printed = published.sources(folder, number)["published"]
    if "settings" in settings:
        told = validate(hyperparameters.HyperparametersStage, settings, "settings")
        return hyperparameters.assemble(told, hyperparameters.load(printed), published.layout(folder, number).title)
    told_runs = validate(tables.TableStage, settings, "settings")
    return tables.assemble(told_runs, published.load(folder, number, told_runs.newer), told_runs.used(files), files["published"])


def _lines(text: str) -> dict[tuple[str, ...], dict[str, str]]:
    """A line of the csv by what names it."""
    return {tuple(line.get(name) or "" for name in PLACE): line for line in csv.DictReader(text.splitlines())}
