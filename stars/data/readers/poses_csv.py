"""Poses as a table: one row per body and frame, columns `{joint}_x`, `{joint}_y`, `{joint}_z` for every joint of the
description, in metres.

Joints are named as in the description, in any case, with _ or a space between words, or numbered in its order from 0 or
1: `x0`, `y0`, `z0` or `x_0` …. Rows with the same whole number in `frame` form one frame; the number stays or increases
by one from row to row. Without this column, every row is a frame. Cells of absent bodies are empty. Other columns are
ignored.
"""

from __future__ import annotations

import math
import re

import numpy as np

from stars.data.readers import FARTHEST, Layout, unreadable
from stars.data.readers.text_csv import Table, parsed

LARGEST = 64 * 2**20  # bytes, about 100,000 rows
FRAME = "frame"
_BARE = re.compile(r"([xyz])_?(\d{1,3})", re.ASCII)
_WHOLE = re.compile(r"\d{1,9}", re.ASCII)


def read(data: bytes, source: str, layout: Layout) -> np.ndarray:
    """Joints (T, M, V, 3) float32 of the file's bytes, M the largest number of bodies in a frame; InputError if the
    file is invalid.
    """
    table = parsed(data, source, LARGEST)
    names = [re.sub(r"[\s_]+", "_", name.lower()) for name in table.columns]
    places = _places(names, source, layout)
    if not table.rows:
        unreadable(source, 2, "a row for each frame", "the end of the file")
    frames = _frames(table, names.index(FRAME) if FRAME in names else None, source)
    bodies = np.arange(len(frames)) - np.searchsorted(frames, frames)
    if bodies.max() >= layout.bodies:
        unreadable(
            source, table.rows[int(bodies.argmax())][0], f"at most {layout.bodies} rows a frame", f"{bodies.max() + 1}"
        )
    x_tmvc = np.zeros((frames[-1] + 1, bodies.max() + 1, len(layout.joints), 3), np.float32)
    for (line, cells), frame, body in zip(table.rows, frames, bodies, strict=True):
        x_tmvc[frame, body] = np.reshape(_pose([cells[place] for place in places], source, line), (-1, 3))
    return x_tmvc


def _places(names: list[str], source: str, layout: Layout) -> list[int]:
    """Column index of each coordinate, in the order of joints and axes."""
    bare = [_BARE.fullmatch(name) for name in names]
    if any(bare):
        return _numbered(
            {(int(found[2]), found[1]): column for column, found in enumerate(bare) if found}, source, layout
        )
    wanted = [f"{re.sub(r'[ _]+', '_', joint.lower())}_{axis}" for joint in layout.joints for axis in "xyz"]
    for name in wanted:
        if names.count(name) != 1:
            unreadable(
                source, 1, f"one column {name}, as for each of the {len(layout.joints)} joints", f"{names.count(name)}"
            )
    return [names.index(name) for name in wanted]


def _numbered(columns: dict[tuple[int, str], int], source: str, layout: Layout) -> list[int]:
    """The same for numbered headers: (number, axis) → column."""
    first, joints = min(columns)[0], len(layout.joints)
    wanted = [(first + joint, axis) for joint in range(joints) for axis in "xyz"]
    if first > 1 or set(columns) != set(wanted):
        last = max(columns)[0]
        unreadable(
            source,
            1,
            f"the columns x, y and z of {joints} joints, x0 to z{joints - 1}",
            f"{len(columns)}, up to number {last}",
        )
    return [columns[place] for place in wanted]


def _frames(table: Table, column: int | None, source: str) -> np.ndarray:
    """Frame of each row, from 0."""
    if column is None:
        return np.arange(len(table.rows))
    numbers: list[int] = []
    for line, cells in table.rows:
        known = _WHOLE.fullmatch(cells[column])
        if not known or (numbers and not 0 <= int(cells[column]) - numbers[-1] <= 1):
            unreadable(
                source,
                line,
                f"the frame of the row above, or the next{f', {numbers[-1] + 1}' if numbers else ''}",
                repr(cells[column]),
            )
        numbers.append(int(cells[column]))
    return np.array(numbers) - numbers[0]


def _pose(cells: list[str], source: str, line: int) -> list[float]:
    if not any(cells):
        return [0.0] * len(cells)
    values = [_number(cell) for cell in cells]
    for cell, value in zip(cells, values, strict=True):
        if not abs(value) <= FARTHEST:
            unreadable(source, line, "x, y and z in metres", repr(cell))
    return values


def _number(cell: str) -> float:
    """The cell's number, or NaN; underscores, which Python accepts, are invalid."""
    try:
        return math.nan if "_" in cell else float(cell)
    except ValueError:
        return math.nan
