"""A table before it is written: columns, rows, cells, ranks, and the reason for each dash. Values are in percent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

Origin = Literal["published", "this run", "difference", "p-value"]
COMPETE: tuple[Origin, ...] = ("published", "this run")
DASH = "–"


@dataclass(frozen=True)
class Cell:
    """One value, or the reason for none. `values`: one per seed; `value`: their mean; `words`: text instead of a
    number.
    """

    value: float | None = None
    std: float | None = None
    seeds: tuple[int, ...] = ()
    values: tuple[float, ...] = ()
    sources: tuple[str, ...] = ()
    reproduced: bool = False
    reason: str = ""
    rank: int = 0
    words: str = ""

    def text(self, origin: Origin = "published") -> str:
        """The words; or the value with one decimal (p-values: three), ± its standard deviation if there is one; or a
        dash.
        """
        if self.value is None:
            return self.words or DASH
        if origin == "p-value":
            return "< 0.001" if self.value < 0.001 else f"{self.value:.3f}"
        shown = round(self.value, 1) + 0.0
        text = (f"{shown:+.1f}" if origin == "difference" and shown else f"{shown:.1f}").replace("-", "−")
        return text + (f" ± {self.std:.1f}" if self.std is not None else "") + ("*" if self.reproduced else "")


@dataclass(frozen=True)
class Row:
    """Cells by column key; `stub`: the columns between the method and its numbers (input, backbone)."""

    origin: Origin
    group: str
    method: str
    cells: dict[str, Cell]
    citation: str = ""
    reference: int | None = None
    recipe: str = ""
    stub: dict[str, str] = field(default_factory=dict)

    @property
    def measured(self) -> bool:
        """Whether any cell has a value."""
        return any(map(self.has, self.cells))

    def has(self, column: str) -> bool:
        """Whether the cell of this column has a value."""
        return self.cells[column].value is not None


@dataclass(frozen=True)
class Column:
    """One column of numbers and the two lines of its heading."""

    key: str
    group: str
    title: str
    published: bool


@dataclass(frozen=True)
class Table:
    """A table's content, independent of the format."""

    number: int | str  # the paper's number, or a name for other tables
    caption: str
    stubs: tuple[str, ...]
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...]
    first: str = "Method"
    cites: bool = True
    title: str = ""  # what it compares, for headings

    @property
    def lead(self) -> list[str]:
        """Headings of the columns before the numbers."""
        return [self.first, *(name.capitalize() for name in self.stubs), *(["Source"] if self.cites else [])]

    def facts(self, row: Row) -> list[str]:
        """A row's cells in those columns; a published method has its reference number, as in the paper."""
        name = row.method if row.reference is None else f"{row.method} [{row.reference}]"
        source = row.citation or (row.origin if row.origin == "this run" else "")
        return [name, *(row.stub.get(stub, "") for stub in self.stubs), *([source] if self.cites else [])]

    @property
    def ranks(self) -> bool:
        """Whether any cell is marked as best or second."""
        return any(cell.rank for row in self.rows for cell in row.cells.values())

    def reasons(self) -> dict[str, str]:
        """Reason for a dash → its footnote letter, in order of appearance."""
        met = dict.fromkeys(row.cells[column.key].reason for row in self.rows for column in self.columns)
        return {reason: letter(index) for index, reason in enumerate(reason for reason in met if reason)}

    def narrowed(self) -> Table:
        """Only the columns with values of this run, and rows with a value in one of them; the whole table if this run
        has no values.
        """
        columns = tuple(
            column
            for column in self.columns
            if any(row.has(column.key) for row in self.rows if row.origin == "this run")
        )
        if not columns:
            return self
        rows = tuple(
            row for row in self.rows if row.origin == "this run" or any(row.has(column.key) for column in columns)
        )
        return replace(self, columns=columns, rows=rows)

    def headings(self) -> list[tuple[str, int]]:
        """First line of the headings: texts and the number of columns that each spans; empty if all texts are."""
        spans: list[tuple[str, int]] = []
        for column in self.columns:
            if spans and spans[-1][0] == column.group:
                spans[-1] = (column.group, spans[-1][1] + 1)
            else:
                spans.append((column.group, 1))
        return spans if any(text for text, _ in spans) else []

    def groups(self) -> list[tuple[str, list[Row]]]:
        """Consecutive rows of the same group, with the group's title."""
        parts: list[tuple[str, list[Row]]] = []
        for row in self.rows:
            if not parts or parts[-1][0] != row.group:
                parts.append((row.group, []))
            parts[-1][1].append(row)
        return parts


def letter(index: int) -> str:
    """0 → a, 25 → z, 26 → aa."""
    text = ""
    while index >= 0:
        text, index = chr(ord("a") + index % 26) + text, index // 26 - 1
    return text


def ranked(table: Table) -> Table:
    """Rank the best and second best of every column by the rounded value; ties share a rank, a single value has
    none.
    """
    ranks = {column.key: _ranks(table.rows, column.key) for column in table.columns}
    rows = tuple(
        replace(
            row,
            cells={key: replace(cell, rank=_rank(row, cell, ranks.get(key, {}))) for key, cell in row.cells.items()},
        )
        for row in table.rows
    )
    return replace(table, rows=rows)


def _ranks(rows: Sequence[Row], key: str) -> dict[float, int]:
    shown = [
        round(cell.value, 1) for row in rows if row.origin in COMPETE and (cell := row.cells[key]).value is not None
    ]
    best = sorted(set(shown), reverse=True)[:2] if len(shown) > 1 else []
    return {value: place for place, value in enumerate(best, start=1)}


def _rank(row: Row, cell: Cell, ranks: dict[float, int]) -> int:
    if row.origin not in COMPETE or cell.value is None:
        return 0
    return ranks.get(round(cell.value, 1), 0)
