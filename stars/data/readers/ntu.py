"""NTU RGB+D's `.skeleton` text files.

    frames                                    a line with the clip's number of frames,
    bodies                                    then for each frame its number of bodies,
    id and nine states                        then for each body its 17-digit id (more than a float64 holds),
    joints                                    its number of joints,
    x y z and nine more                       and for each joint twelve numbers, the first three in metres.

Joint lines are converted together (`decimals`); irregular lines are parsed one by one.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

import numpy as np

from stars.data.readers import FARTHEST, Body, Clip, Found, Layout, Sightings, by_name, unreadable
from stars.data.readers.decimals import Marks, leading
from stars.data.sources import Source

SUFFIXES: tuple[str, ...] = (".skeleton",)
FIELDS, STATES = 12, 10  # numbers on a joint's line and on a body's first line
_NAME = re.compile(r"S(\d{3})C(\d{3})P(\d{3})R(\d{3})A(\d{3})\.skeleton", re.ASCII)
_NUMBER = re.compile(rb"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def clips(source: Source, layout: Layout) -> Found:
    """Every file with its clip, or with an InputError about its name."""
    return by_name(source, name_of)


def name_of(file_name: str) -> Clip:
    """S001C002P003R002A013.skeleton: setup 1, camera 2, subject 3, replication 2, action 13."""
    found = _NAME.fullmatch(file_name)
    if not found or "000" in found.groups():
        unreadable(file_name, None, "a name like S001C002P003R002A013.skeleton", "another")
    setup, camera, subject, replication, action = map(int, found.groups())
    return Clip(file_name.removesuffix(SUFFIXES[0]), action, subject, camera, setup, replication)


def read(data: bytes, source: str, layout: Layout) -> Sightings:
    """Joints of every body id in the file's bytes. Declared counts allocate no memory.

    Raises:
        InputError: file, line, expected and found.
    """
    text, joints = _Text(data, source), len(layout.joints)
    tracks, frames = _outline(text, joints)
    first_lines = np.array([line for track in tracks.values() for line in track.lines], np.int64)
    x_nvc = _coordinates(text, (first_lines[:, None] + np.arange(joints)).ravel()).reshape(-1, joints, 3)
    ends = accumulate(len(track.lines) for track in tracks.values())
    own = zip(tracks.items(), ends, strict=True)
    return Sightings(
        {body: Body(x_nvc[end - len(track.lines) : end], track.frame) for (body, track), end in own}, frames
    )


@dataclass
class _Track:
    """Sightings of one body: the first frame (counting only frames with bodies), and the line of each sighting's
    first joint.
    """

    frame: int
    lines: list[int]


@dataclass(frozen=True)
class _Text:
    """A file's bytes with the positions of its lines. Line numbers count from 0 here and from 1 in errors."""

    data: bytes
    source: str

    @cached_property
    def codes(self) -> np.ndarray:
        return np.frombuffer(self.data, np.uint8)

    @cached_property
    def starts(self) -> np.ndarray:
        """Start of each line, and the end of the last."""
        return np.concatenate([[0], np.flatnonzero(self.codes == ord("\n")) + 1, [len(self.data) + 1]])

    @cached_property
    def lines(self) -> int:
        return len(self.starts) - 1

    def line(self, number: int, expected: str) -> bytes:
        """A line without its line break; InputError if the file ends before it."""
        try:
            line = self.data[self.starts[number] : self.starts[number + 1]].strip()
        except IndexError:
            line = b""
        if not line and number >= self.lines - 1:
            unreadable(self.source, number + 1, expected, "the end of the file")
        return line

    def count(self, number: int, what: str) -> int:
        """A line with one whole number."""
        word = self.line(number, what)
        if not word.isdigit() or len(word) > 18:
            unreadable(self.source, number + 1, what, word)
        return int(word)


def _outline(text: _Text, joints: int) -> tuple[dict[int, _Track], int]:
    """Parse the counts: body id → its track, in order of appearance, and the number of frames with a body."""
    tracks: dict[int, _Track] = {}
    frame, line = 0, 1
    for _ in range(text.count(0, "the number of frames")):
        top, bodies = line, text.count(line, "the number of bodies in a frame")
        line += 1
        for _ in range(bodies):
            body = _body_id(text, line)
            track = tracks.get(body) or tracks.setdefault(body, _Track(frame, []))
            if track.lines and track.lines[-1] > top:
                unreadable(text.source, line + 1, "each body id once in a frame", f"{body} a second time")
            if (found := text.count(line + 1, "the number of joints")) != joints:
                unreadable(text.source, line + 2, f"{joints} joints", str(found))
            track.lines.append(line + 2)
            line += 2 + joints
            if line > text.lines:
                unreadable(text.source, text.lines, f"{joints} lines of joints", "the end of the file")
        frame += bodies > 0
    if text.data[text.starts[min(line, text.lines)] :].strip():
        unreadable(text.source, line + 1, "the end of the file after the last frame", "more")
    return tracks, frame


def _body_id(text: _Text, line: int) -> int:
    words = text.line(line, "a body's id and states").split()
    if len(words) != STATES:
        unreadable(text.source, line + 1, f"a body's id and states, {STATES} numbers", f"{len(words)}")
    if not words[0].isdigit() or len(words[0]) > 20:
        unreadable(text.source, line + 1, "a whole number as body id", words[0])
    return int(words[0])


def _coordinates(text: _Text, lines: np.ndarray) -> np.ndarray:
    """(lines, 3) float32: x, y, z at the start of these lines."""
    spaces, points = Marks(text.codes, " "), Marks(text.codes, ".")
    values, plain = leading(text.codes, text.starts[lines], spaces, points)
    fields = np.diff(spaces.before(text.starts))[lines] + 1
    irregular = np.flatnonzero(~plain | (fields != FIELDS) | (np.abs(values) > FARTHEST).any(axis=1))
    for index in irregular[np.argsort(lines[irregular])]:
        values[index] = _read_line(text, int(lines[index]))
    return values.astype(np.float32)


def _read_line(text: _Text, line: int) -> list[float]:
    """One joint's x, y, z, in any spacing and notation."""
    words = text.line(line, f"a joint, {FIELDS} numbers").split()
    if len(words) != FIELDS:
        unreadable(text.source, line + 1, f"a joint, {FIELDS} numbers", str(len(words)))
    values = [float(word) if _NUMBER.fullmatch(word) else math.nan for word in words[:3]]
    for word, value in zip(words, values, strict=False):
        if not abs(value) <= FARTHEST:
            unreadable(text.source, line + 1, "x, y and z in metres", word)
    return values
