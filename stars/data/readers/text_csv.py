"""Parses comma-separated values from untrusted bytes."""

from __future__ import annotations

import csv
import io
from typing import NamedTuple

from stars.data.readers import unreadable


class Table(NamedTuple):
    """Column names, and rows as (line in the file from 1, stripped cells, one per column)."""

    columns: list[str]
    rows: list[tuple[int, list[str]]]


def parsed(data: bytes, source: str, largest: int) -> Table:
    """Parse a UTF-8 file of at most `largest` bytes, ignoring empty lines; InputError if it is invalid."""
    if len(data) > largest:
        unreadable(source, None, f"a table of at most {largest} bytes", f"{len(data)}")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        unreadable(source, data[: error.start].count(b"\n") + 1, "text in UTF-8", data[error.start : error.start + 1])
    reader, rows = csv.reader(io.StringIO(text, newline=""), strict=True), []
    try:
        columns = [name.strip() for name in next(reader, [])]
        for cells in filter(None, reader):
            if len(cells) != len(columns):
                unreadable(source, reader.line_num, f"{len(columns)} cells", str(len(cells)))
            rows.append((reader.line_num, [cell.strip() for cell in cells]))
    except csv.Error as error:
        unreadable(source, reader.line_num, "comma-separated values", str(error))
    return Table(columns, rows)
