"""NTU RGB+D's `.skeleton` text files.

    frames                                    a line each: the clip's frames,
    bodies                                    then for each frame its bodies,
    id and nine states                        then for each body its 17-digit id (more than a float64 holds),
    joints                                    its joints,
    x y z and nine more                       and for each joint twelve numbers, the first three in metres.

Parsing is what ingest costs, so joint lines are converted all at once (`decimals`); a line that is not quite regular is read alone, by the rules.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from stars.data.readers import FARTHEST, Body, Clip, Found, Layout, Sightings, by_name, unreadable
from stars.data.readers.decimals import decimals
from stars.data.sources import Source

SUFFIXES: tuple[str, ...] = (".skeleton",)
BLOCK = 2600  # lines converted at once: their arrays stay in the processor's cache, and the allocator keeps their memory
FIELDS, STATES = 12, 10  # numbers on a joint's line and on a body's first line
_NAME = re.compile(r"S(\d{3})C(\d{3})P(\d{3})R(\d{3})A(\d{3})\.skeleton", re.ASCII)
_NUMBER = re.compile(rb"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def clips(source: Source, layout: Layout) -> Found:
    """Every file with its clip, or with what is wrong with its name."""
    return by_name(source, name_of)


def name_of(file_name: str) -> Clip:
    """S001C002P003R002A013.skeleton: setup 1, camera 2, subject 3, replication 2, action 13."""
    found = _NAME.fullmatch(file_name)
    if not found:
        unreadable(file_name, None, "a name like S001C002P003R002A013.skeleton", "another")
    setup, camera, subject, replication, action = map(int, found.groups())
    return Clip(file_name.removesuffix(SUFFIXES[0]), action, subject, camera, setup, replication)


def read(data: bytes, source: str, layout: Layout) -> Sightings:
    """Joints of every body id in the file's bytes. Nothing is allocated for what the file only declares.

    Raises:
        InputError: file, line, expected and found, where the file leaves the format.
    """
    text = _Text(data, source)
    sightings, frames = _outline(text, len(layout.joints))
    first_lines = np.array([sighting.line for sighting in sightings], np.int64)
    lines = (first_lines[:, None] + np.arange(len(layout.joints))).ravel()
    blocks = [_coordinates(text, lines[block : block + BLOCK]) for block in range(0, len(lines), BLOCK)]
    joints = np.concatenate([np.empty((0, 3), np.float32), *blocks]).reshape(len(sightings), len(layout.joints), 3)
    rows: dict[int, list[int]] = {}
    for row, sighting in enumerate(sightings):
        rows.setdefault(sighting.body, []).append(row)
    return Sightings({body: Body(joints[own], sightings[own[0]].frame) for body, own in rows.items()}, frames)


class _Sighting(NamedTuple):
    """One body in one frame (counting only frames with bodies), and the line of its first joint."""

    body: int
    frame: int
    line: int


@dataclass(frozen=True)
class _Text:
    """A file's bytes with the positions of its lines. Line numbers here count from 0; errors name them from 1."""

    data: bytes
    source: str

    @cached_property
    def codes(self) -> np.ndarray:
        return np.frombuffer(self.data, np.uint8)

    @cached_property
    def starts(self) -> np.ndarray:
        """Start of each line, and of the one that would follow the last."""
        return np.concatenate([[0], np.flatnonzero(self.codes == ord("\n")) + 1, [len(self.data) + 1]])

    @cached_property
    def positions(self) -> list[int]:
        return self.starts.tolist()  # indexing a list is quicker, one at a time

    def __len__(self) -> int:
        return len(self.starts) - 1

    def line(self, number: int, expected: str) -> bytes:
        """A line without its end; InputError where the file ends before it."""
        try:
            line = self.data[self.positions[number] : self.positions[number + 1]].strip()
        except IndexError:
            line = b""
        if not line and number >= len(self) - 1:
            unreadable(self.source, number + 1, expected, "the end of the file")
        return line

    def count(self, number: int, what: str) -> int:
        """A line that holds one whole number."""
        word = self.line(number, what)
        if not word.isdigit() or len(word) > 18:
            unreadable(self.source, number + 1, what, word)
        return int(word)


def _outline(text: _Text, joints: int) -> tuple[list[_Sighting], int]:
    """Walk the counts: every sighting, in file order, and the number of frames with a body."""
    sightings: list[_Sighting] = []
    frame, line = 0, 1
    for _ in range(text.count(0, "the number of frames")):
        bodies, line = text.count(line, "the number of bodies in a frame"), line + 1
        here: set[int] = set()
        for _ in range(bodies):
            body = _body_id(text, line)
            if body in here:
                unreadable(text.source, line + 1, "each body id once in a frame", f"{body} a second time")
            if (found := text.count(line + 1, "the number of joints")) != joints:
                unreadable(text.source, line + 2, f"{joints} joints", str(found))
            here.add(body)
            sightings.append(_Sighting(body, frame, line + 2))
            line += 2 + joints
            if line > len(text):
                unreadable(text.source, len(text), f"{joints} lines of joints", "the end of the file")
        frame += bodies > 0
    if text.data[text.positions[min(line, len(text))] :].strip():
        unreadable(text.source, line + 1, "the end of the file after the last frame", "more")
    return sightings, frame


def _body_id(text: _Text, line: int) -> int:
    words = text.line(line, "a body's id and states").split()
    if len(words) != STATES:
        unreadable(text.source, line + 1, f"a body's id and states, {STATES} numbers", f"{len(words)}")
    if not words[0].isdigit() or len(words[0]) > 20:
        unreadable(text.source, line + 1, "a whole number as body id", words[0])
    return int(words[0])


def _coordinates(text: _Text, lines: np.ndarray) -> np.ndarray:
    """(lines, 3) float32: x, y, z at the head of those lines, which ascend."""
    starts = text.starts[lines[0] : lines[-1] + 2] - text.starts[lines[0]]
    codes = text.codes[text.starts[lines[0]] : text.starts[lines[-1] + 1]]
    spaces = np.flatnonzero(codes == ord(" "))
    before = np.searchsorted(spaces, starts)  # spaces before each line
    row = lines - lines[0]
    regular = before[row + 1] - before[row] == FIELDS - 1
    ends = spaces[before[row[regular]] + np.arange(3)[:, None]]
    firsts = np.vstack([starts[row[regular]], ends[:2] + 1])
    found, plain = decimals(codes, firsts.ravel(), ends.ravel())
    values = np.empty((len(lines), 3))
    values[regular] = found.reshape(3, -1).T
    regular[regular] = (plain & (np.abs(found) <= FARTHEST)).reshape(3, -1).all(axis=0)
    for index in np.flatnonzero(~regular):
        values[index] = _read_line(text, int(lines[index]))
    return values.astype(np.float32)


def _read_line(text: _Text, line: int) -> list[float]:
    """One joint's x, y, z, whatever the spacing and notation of the numbers."""
    words = text.line(line, f"a joint, {FIELDS} numbers").split()
    if len(words) != FIELDS:
        unreadable(text.source, line + 1, f"a joint, {FIELDS} numbers", str(len(words)))
    values = [float(word) if _NUMBER.fullmatch(word) else math.nan for word in words[:3]]
    for word, value in zip(words, values, strict=False):
        if not abs(value) <= FARTHEST:
            unreadable(text.source, line + 1, "x, y and z in metres", word)
    return values
