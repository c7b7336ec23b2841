"""Tables 8 and 10: a method's settings in the paper, beside those of this run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stars.config import Settings, key
from stars.errors import InputError
from stars.paper import published as paper
from stars.paper.grid import Cell, Column, Row, Table
from stars.paper.tables import CITED, write

FIXED = "="  # prefix of a value that is fixed in the code, not a setting
FIELDS = ["hyperparameter", "value", "keys"]
NOT_CONFIGURED = "The configuration does not contain this method."
COLUMNS = (
    Column("published", "", "Published", True),
    Column("this_run", "", "This run", False),
    Column("key", "", "Key", False),
)


class HyperparametersStage(Settings):
    """Settings of one table of hyperparameters."""

    number: int = key(..., "number of the table in the paper")
    method: str = key(..., "method's name in the title")
    data_title: str = key(..., "data set that the settings are for")
    settings: dict[str, Any] | None = key(
        None, "dotted key → value of every setting of the method; null: not configured"
    )


@dataclass(frozen=True)
class Hyperparameter:
    """A row of the paper, and the corresponding keys of the configuration."""

    name: str
    value: str
    keys: tuple[str, ...]


def build(settings: HyperparametersStage, published: Path, out: Path) -> None:
    """Write out/table{N}.csv, .md, .tex, .html and .record.json.

    Raises:
        InputError: the published table is missing or damaged, or names a key that the method does not have.
    """
    inputs = paper.sources(published, settings.number)
    write(
        out,
        settings,
        inputs,
        assemble(settings, load(inputs["published"]), paper.layout(published, settings.number).title),
    )


def load(path: Path) -> list[Hyperparameter]:
    """The paper's rows; InputError names the line that is wrong."""
    rows = []
    for line, fields in paper.lines(path):
        if list(fields) != FIELDS or None in fields.values():
            raise InputError(f"{path}, line {line}: the columns must be {', '.join(FIELDS)}")
        rows.append(Hyperparameter(fields["hyperparameter"], fields["value"], tuple(fields["keys"].split())))
    return rows


def assemble(settings: HyperparametersStage, rows: list[Hyperparameter], title: str) -> Table:
    """The table, with a note that names what differs from the paper."""
    caption = f"Table {settings.number} of the STARS paper: {title}.{CITED}"
    if settings.settings is not None:
        caption += f" This run's values: {settings.method} on {settings.data_title}."
    differing = [row.name for row in rows if settings.settings is not None and not agrees(row, settings.settings)]
    notes = (f"Different from the paper: {', '.join(differing)}.",) if differing else ()
    return Table(
        settings.number,
        caption,
        (),
        COLUMNS,
        tuple(_row(row, settings.settings) for row in rows),
        notes,
        "Hyperparameter",
        False,
    )


def agrees(row: Hyperparameter, settings: Mapping[str, Any]) -> bool:
    """Whether our value equals the published number; true for values in words, which are not compared."""
    printed = _number(row.value)
    return printed is None or len(row.keys) != 1 or _number(_values(row, settings)[0]) in (None, printed)


def _row(row: Hyperparameter, settings: Mapping[str, Any] | None) -> Row:
    ours = Cell(reason=NOT_CONFIGURED) if settings is None else Cell(words=_ours(row, settings))
    keys = ", ".join("none" if name.startswith(FIXED) else name for name in row.keys)
    return Row(
        "published", "", row.name, {"published": Cell(words=row.value), "this_run": ours, "key": Cell(words=keys)}
    )


def _ours(row: Hyperparameter, settings: Mapping[str, Any]) -> str:
    """Our value; if the paper's is in words, each value after the last part of its key."""
    values = [_text(value) for value in _values(row, settings)]
    if _number(row.value) is not None:
        return values[0]
    return ", ".join(f"{name.rpartition('.')[2]} {value}" for name, value in zip(row.keys, values, strict=True))


def _values(row: Hyperparameter, settings: Mapping[str, Any]) -> list[Any]:
    lacking = [name for name in row.keys if not name.startswith(FIXED) and name not in settings]
    if lacking or not row.keys:
        raise InputError(
            f"{row.name}: the method has no setting {', '.join(lacking)}: correct the column keys in the published"
            " table"
        )
    return [name.removeprefix(FIXED) if name.startswith(FIXED) else settings[name] for name in row.keys]


def _number(value: Any) -> float | None:
    try:
        return float(str(value).replace(",", ""))
    except ValueError:
        return None


def _text(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int | float) and not isinstance(value, bool) else str(value)
