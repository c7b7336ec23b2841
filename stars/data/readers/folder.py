"""Your own clips: a folder or zip with one file per clip and a clips.csv that describes them.

A `.npy` file has shape (frames, joints, 3) or (frames, bodies, joints, 3), in metres, joints in the description's
order, zeros where a body is absent. poses_json and poses_csv describe `.json` and `.csv` files. clips.csv has the
columns `file` (path relative to clips.csv), `label` (number or name of an action of the description), `subject` and
optionally `camera`, `setup` and `replication` (whole numbers, default 1).
"""

from __future__ import annotations

import difflib
import re
from pathlib import PurePosixPath
from typing import NamedTuple

import numpy as np

from stars.data.readers import Clip, Found, Layout, in_metres, poses_csv, poses_json, unreadable
from stars.data.readers.npy import numbers
from stars.data.readers.text_csv import parsed
from stars.data.skeleton import in_metres_y_up
from stars.data.sources import Source
from stars.errors import InputError

SUFFIXES: tuple[str, ...] = (".npy", ".json", ".csv")
TABLE = "clips.csv"
REQUIRED, OPTIONAL = ("file", "label", "subject"), ("camera", "setup", "replication")
LARGEST_TABLE = 16 * 2**20  # bytes; about 200,000 rows
_WHOLE = re.compile(r"\d{1,9}", re.ASCII)


class _Row(NamedTuple):
    """A line of clips.csv: its number, and its cells by column."""

    line: int
    cells: dict[str, str]


def clips(source: Source, layout: Layout) -> Found:
    """Every file found or listed in clips.csv, with its clip or an InputError; raises InputError if clips.csv is
    missing or invalid.
    """
    table = _table(source)
    named: dict[str, list[_Row]] = {}
    for row in _rows(source.read(table), table):
        named.setdefault((PurePosixPath(table).parent / row.cells["file"]).as_posix(), []).append(row)
    files = [file for file in source.files if file != table]
    for file in sorted({*files, *named}):
        try:
            yield file, [_clip(file, named.get(file, []), table, file in source.files, layout)]
        except InputError as error:
            yield file, error


def _table(source: Source) -> str:
    """Path of the only clips.csv among the files."""
    found = [file for file in source.files if PurePosixPath(file).name == TABLE]
    if len(found) != 1:
        raise InputError(
            f"{source.root}: expected one {TABLE}, found {', '.join(found) or 'none'}: it lists the label and subject"
            " of each clip"
        )
    return found[0]


def _rows(data: bytes, table: str) -> list[_Row]:
    """Rows of the table."""
    header, rows = parsed(data, table, LARGEST_TABLE)
    if not set(REQUIRED) <= set(header) <= {*REQUIRED, *OPTIONAL} or len(set(header)) < len(header):
        unreadable(
            table, 1, f"the columns {', '.join(REQUIRED)} and optionally {', '.join(OPTIONAL)}", repr(",".join(header))
        )
    return [_Row(line, dict(zip(header, cells, strict=True))) for line, cells in rows]


def _clip(file: str, rows: list[_Row], table: str, there: bool, layout: Layout) -> Clip:
    """The clip of a file according to the table."""
    if not rows:
        unreadable(file, None, f"a line for it in {table}", "none")
    line, cells = rows[-1]
    if len(rows) > 1:
        unreadable(table, line, "each file once", f"{cells['file']!r}, already in line {rows[0].line}")
    if not there or file == table:
        unreadable(table, line, "an existing .npy, .json or .csv file", repr(cells["file"]))
    subject, camera, setup, replication = (
        _whole(cells.get(column, "1"), column, line, table) for column in ("subject", *OPTIONAL)
    )
    return Clip(
        file.rpartition(".")[0],
        _action(cells["label"], line, table, layout.actions),
        subject,
        camera,
        setup,
        replication,
    )


def _whole(cell: str, column: str, line: int, table: str) -> int:
    if not _WHOLE.fullmatch(cell):
        unreadable(table, line, f"a whole number as {column}", repr(cell))
    return int(cell)


def _action(label: str, line: int, table: str, actions: dict[int, str]) -> int:
    """Number of the action with this number or else this name."""
    if _WHOLE.fullmatch(label) and int(label) in actions:
        return int(label)
    named = [number for number, name in actions.items() if name == label]
    if len(named) != 1:
        close = difflib.get_close_matches(label[:100], actions.values(), n=1)
        unreadable(
            table,
            line,
            f"the number or name of one of {len(actions)} actions{f', such as {close[0]}' if close else ''}",
            repr(label),
        )
    return named[0]


def read(data: bytes, source: str, layout: Layout) -> np.ndarray:
    """Joints (T, M, V, 3) float32 of a file's bytes, in metres, y up; InputError if they do not match its suffix."""
    return in_metres_y_up(_as_filed(data, source, layout), layout.axes, layout.unit)


def _as_filed(data: bytes, source: str, layout: Layout) -> np.ndarray:
    if source.endswith((".json", ".csv")):
        return (poses_json if source.endswith(".json") else poses_csv).read(data, source, layout)
    x, bodies, joints = numbers(data, source), layout.bodies, len(layout.joints)
    if x.ndim not in (3, 4) or x.shape[-2:] != (joints, 3) or (x.ndim == 4 and x.shape[1] > bodies):
        shapes = f"({joints} joints, 3) a frame" + (
            f", or (at most {bodies} bodies, {joints} joints, 3)" if bodies > 1 else ""
        )
        unreadable(source, None, shapes, f"shape {x.shape}")
    return in_metres(x.reshape(len(x), -1, joints, 3), source)
