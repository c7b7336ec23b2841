"""A table before it is written: columns, rows, cells, their ranks and the reasons of their dashes. Values are percent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

Origin = Literal["published", "this run", "difference"]
DASH = "–"


@dataclass(frozen=True)
class Cell:
    """One value, or none and the reason. `values` are those of the seeds, `value` their mean."""

    value: float | None = None
    std: float | None = None
    seeds: tuple[int, ...] = ()
    values: tuple[float, ...] = ()
    sources: tuple[str, ...] = ()
    reproduced: bool = False
    reason: str = ""
    rank: int = 0

    def text(self, signed: bool = False) -> str:
        """One decimal, ± the standard deviation where there is one; a dash for no value."""
        if self.value is None:
            return DASH
        shown = round(self.value, 1) + 0.0
        text = (f"{shown:+.1f}" if signed and shown else f"{shown:.1f}").replace("-", "−")
        return text + (f" ± {self.std:.1f}" if self.std is not None else "") + ("*" if self.reproduced else "")


@dataclass(frozen=True)
class Row:
    """Cells by column key; `stub` holds what stands between the method and its numbers (input, backbone)."""

    origin: Origin
    group: str
    method: str
    cells: dict[str, Cell]
    citation: str = ""
    reference: int | None = None
    recipe: str = ""
    stub: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Column:
    """One column of numbers and the two lines of its heading."""

    key: str
    group: str
    title: str
    published: bool


@dataclass(frozen=True)
class Table:
    """Everything that is written, whatever the format."""

    number: int
    caption: str
    stubs: tuple[str, ...]
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...]

    def reasons(self) -> dict[str, str]:
        """Reason of a dash → its footnote letter, in the order they are met."""
        met = dict.fromkeys(row.cells[column.key].reason for row in self.rows for column in self.columns)
        return {reason: letter(index) for index, reason in enumerate(reason for reason in met if reason)}

    def headings(self) -> list[tuple[str, int]]:
        """First line of the headings: text and the number of columns it spans."""
        spans: list[tuple[str, int]] = []
        for column in self.columns:
            if spans and spans[-1][0] == column.group:
                spans[-1] = (column.group, spans[-1][1] + 1)
            else:
                spans.append((column.group, 1))
        return spans

    def groups(self) -> list[tuple[str, list[Row]]]:
        """Consecutive rows of one group, with the group's title."""
        parts: list[tuple[str, list[Row]]] = []
        for row in self.rows:
            if not parts or parts[-1][0] != row.group or parts[-1][1][-1].origin != row.origin:
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
    """The table with ranks 1 and 2 in every column: by the shown decimal, ties share, differences do not compete, one value alone has no rank."""
    ranks = {column.key: _ranks(table.rows, column.key) for column in table.columns}
    rows = tuple(
        replace(row, cells={key: replace(cell, rank=_rank(row, cell, ranks[key])) for key, cell in row.cells.items()}) for row in table.rows
    )
    return replace(table, rows=rows)


def _ranks(rows: Sequence[Row], key: str) -> dict[float, int]:
    shown = [round(cell.value, 1) for row in rows if row.origin != "difference" and (cell := row.cells[key]).value is not None]
    best = sorted(set(shown), reverse=True)[:2] if len(shown) > 1 else []
    return {value: place for place, value in enumerate(best, start=1)}


def _rank(row: Row, cell: Cell, ranks: dict[float, int]) -> int:
    if row.origin == "difference" or cell.value is None:
        return 0
    return ranks.get(round(cell.value, 1), 0)
