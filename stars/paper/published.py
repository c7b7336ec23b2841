"""The paper's numbers: table{N}.csv as printed, and tables.yaml with titles and headings."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from stars.config import Settings, key
from stars.config.reading import parse_yaml
from stars.errors import InputError, shown

FACTS = ("group", "method", "reference", "citation", "recipe")
STUBS = ("input", "backbone")
NEWER, LATER = "newer.csv", "Work after the paper"
NEWER_FIELDS = ["table", "method", "citation", "input", "backbone", "column", "value", "address"]


class Layout(Settings):
    """A table's title, headings and notes."""

    title: str = key(..., "what the table compares")
    columns: dict[str, tuple[str, str]] = key(
        {}, "column of the csv file → the two lines of its heading, in the paper's order"
    )
    select: dict[str, int | str] = key(
        {}, "entry of metrics.json's `results` that is shown, by its keys; empty: the main result"
    )
    notes: tuple[str, ...] = key((), "notes under the table")
    chosen: dict[str, str] = key({}, "point of docs/fidelity.md → this pipeline's choice, shown with its results")


@dataclass(frozen=True)
class PublishedRow:
    """One printed row; `values`: percent by column, without columns that the paper leaves blank."""

    group: str
    method: str
    reference: int | None
    citation: str
    recipe: str
    stub: dict[str, str]
    values: dict[str, float]
    reproduced: frozenset[str]
    address: str = ""  # source of the numbers, for work after the paper

    @property
    def cited(self) -> str:
        """The method with its reference number, as the paper prints it."""
        return self.method if self.reference is None else f"{self.method} [{self.reference}]"


@dataclass(frozen=True)
class Published:
    """One table of the paper."""

    number: int
    layout: Layout
    stubs: tuple[str, ...]
    rows: tuple[PublishedRow, ...]

    def of_recipe(self, recipe: str) -> PublishedRow | None:
        """The printed row that corresponds to a method of this pipeline, if there is one."""
        return next((row for row in self.rows if row.recipe == recipe), None)


def sources(folder: Path, number: int, newer: bool = False) -> dict[str, Path]:
    """Role → file that `load` reads."""
    found = {"layout": folder / "tables.yaml", "published": folder / f"table{number}.csv"}
    return found | ({"newer": folder / NEWER} if newer else {})


def load(folder: Path, number: int, newer: bool = False) -> Published:
    """Read Table `number` from `folder` (config/published). InputError names the file and line that are wrong.

    Args:
        newer: add rows of newer.csv: work after the paper, or not in it.
    """
    described = layout(folder, number)
    path = folder / f"table{number}.csv"
    rows: list[PublishedRow] = []
    stubs: tuple[str, ...] = ()
    for line, fields in lines(path):
        stubs = tuple(name for name in STUBS if name in fields)
        expected = [*FACTS, *stubs, *described.columns, "reproduced"]
        if list(fields) != expected or None in fields.values():
            raise InputError(f"{path}, line {line}: the columns must be {', '.join(expected)}")
        rows.append(_row(fields, stubs, described, f"{path}, line {line}"))
    later = _newer(folder / NEWER, number, described, stubs) if newer else []
    return Published(number, described, stubs, (*rows, *later))


def _newer(path: Path, number: int, described: Layout, stubs: tuple[str, ...]) -> list[PublishedRow]:
    """A table's rows from newer.csv, which has one number and its source per line."""
    found: dict[tuple[str, ...], PublishedRow] = {}
    for line, fields in lines(path):
        if list(fields) != NEWER_FIELDS or None in fields.values():
            raise InputError(f"{path}, line {line}: the columns must be {', '.join(NEWER_FIELDS)}")
        if fields["table"] != str(number):
            continue
        if fields["column"] not in described.columns:
            raise InputError(
                f"{path}, line {line}: Table {number} has no column {fields['column']}: use one of"
                f" {', '.join(described.columns)}"
            )
        try:
            value = float(fields["value"])
        except ValueError as error:
            raise InputError(f"{path}, line {line}: {error}; expected a number") from None
        named = fields["method"], fields["citation"]
        stub = {name: fields[name] for name in stubs}
        row = PublishedRow(LATER, named[0], None, named[1], "", stub, {}, frozenset(), fields["address"])
        found.setdefault(named, row).values[fields["column"]] = value
    return list(found.values())


def layout(folder: Path, number: int) -> Layout:
    """Title and headings of Table `number`; InputError if tables.yaml is missing, damaged or lacks the table."""
    path = folder / "tables.yaml"
    try:
        layouts = TypeAdapter(dict[int, Layout]).validate_python(
            parse_yaml(path.read_text(encoding="utf-8-sig"), str(path))
        )
    except FileNotFoundError:
        raise InputError(f"{path} is missing: it comes with the repository") from None
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    if number not in layouts:
        raise InputError(f"{path} has no Table {number}; it has {', '.join(map(str, layouts))}")
    return layouts[number]


def lines(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Line number and fields of a csv file's rows; InputError if the file is missing."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"{path} is missing: it comes with the repository") from None
    reader = csv.DictReader(text.splitlines())
    for fields in reader:
        yield reader.line_num, fields


def _row(fields: dict[str, str], stubs: tuple[str, ...], layout: Layout, where: str) -> PublishedRow:
    reproduced = frozenset(fields["reproduced"].split())
    if not reproduced <= set(layout.columns):
        raise InputError(
            f"{where}: reproduced must name columns of the table, found {shown(' '.join(sorted(reproduced)))}"
        )
    try:
        values = {column: float(fields[column]) for column in layout.columns if fields[column]}
        reference = int(fields["reference"]) if fields["reference"] else None
    except ValueError as error:
        raise InputError(f"{where}: {error}; expected a number or nothing") from None
    return PublishedRow(
        group=fields["group"],
        method=fields["method"],
        reference=reference,
        citation=fields["citation"],
        recipe=fields["recipe"],
        stub={name: fields[name] for name in stubs},
        values=values,
        reproduced=reproduced,
    )
