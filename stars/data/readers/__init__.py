"""Readers of raw layouts, one module each: list the clips in the files and parse a file's bytes into joints.

A reader module has
    SUFFIXES                                  suffixes of the files that it reads
    clips(source, layout)                     every file with joints, with its clips or an InputError
    read(bytes, source, layout) -> RawClip    a file's joints; InputError with file, line, expected and found
It never opens a file: bytes come from a folder or a zip.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal, NoReturn, Protocol, TypeAlias

import numpy as np

from stars.config import Settings
from stars.data.dataset import Dataset, ReaderName
from stars.data.skeleton import PLAIN, Axis, Unit
from stars.data.sources import Source
from stars.errors import InputError

UNKNOWN = 0  # number of a clip if unknown
FARTHEST = 1e6  # metres; larger coordinates are damage and would overflow in float32


class Layout(Settings):
    """The part of a data set's description that ingest reads. It excludes splits and titles, so changing these
    re-ingests nothing.
    """

    home: str
    reader: ReaderName
    bodies: int
    joints: tuple[str, ...]
    root: int
    axes: tuple[Axis, Axis, Axis] = PLAIN  # these four have defaults, for older records
    unit: Unit = "m"
    fps: float = 30.0
    up: Literal["y", "z"] = "y"
    centre: Literal["first_frame_root", "none"]
    single_body: Literal["zeros", "copy"]
    actions: dict[int, str]
    subjects: tuple[int, ...] | None
    setups: tuple[int, ...] | None
    clips: int | None
    listed: int | None
    names: str | None

    @classmethod
    def of(cls, dataset: Dataset) -> Layout:
        """The part of a description that ingest reads."""
        return cls(**dataset.model_dump(include=set(cls.model_fields)))


@dataclass(frozen=True, order=True)
class Clip:
    """Facts about a clip, known before its joints are read; numbers are the data set's, from 1.

    span: the clip's frames [start, end) in the file, from 0; None: all.
    sides: sides in the splits that the file includes, "train", "test" or "xsub_train xset_test"; "": none.
    """

    name: str
    action: int
    subject: int
    camera: int = 1
    setup: int = 1
    replication: int = 1
    span: tuple[int, int] | None = None
    sides: str = ""


@dataclass(frozen=True, eq=False)
class Body:
    """All sightings of one body id: joints (n, V, 3) float32 in metres, and the frame of the first, not counting
    empty frames.
    """

    joints: np.ndarray
    start: int

    @property
    def end(self) -> int:
        """One past the last frame. Gaps are closed: each sighting follows the previous one."""
        return self.start + len(self.joints)


@dataclass(frozen=True, eq=False)
class Sightings:
    """A clip as a tracker saw it: body id → Body, in order of appearance; frames: those with at least one body."""

    bodies: dict[int, Body]
    frames: int


RawClip: TypeAlias = Sightings | np.ndarray  # an array is (T, M, V, 3) with bodies already separated


Found: TypeAlias = Iterator[tuple[str, list[Clip] | InputError]]


class Reader(Protocol):
    """Interface of a reader module."""

    SUFFIXES: tuple[str, ...]

    def clips(self, source: Source, layout: Layout, /) -> Found: ...

    def read(self, data: bytes, source: str, layout: Layout, /) -> RawClip: ...


def reader(name: ReaderName) -> Reader:
    """The reader module of that name.

    Uses import statements, which the digest of a stage's code follows, and imports one reader only, since some need a
    slow library.
    """
    match name:
        case "ntu":
            from stars.data.readers import ntu

            return ntu
        case "pku":
            from stars.data.readers import pku

            return pku
        case "nw_ucla":
            from stars.data.readers import nw_ucla

            return nw_ucla
        case "utd_mhad":
            from stars.data.readers import utd_mhad

            return utd_mhad
        case "folder":
            from stars.data.readers import folder

            return folder
        case "npz" | "pyskl" | "npy":
            from stars.data.readers import preprocessed

            return preprocessed


def by_name(source: Source, name_of: Callable[[str], Clip]) -> Found:
    """`clips` for layouts with one clip per file, identified by the file's name."""
    for file in source.files:
        try:
            yield file, [name_of(PurePosixPath(file).name)]
        except InputError as error:
            yield file, error


def in_metres(x: np.ndarray, source: str) -> np.ndarray:
    """Convert numbers of any type, frames first, to float32.

    Raises:
        InputError: a number is not a valid coordinate; names the first such frame.
    """
    with np.errstate(over="ignore", invalid="ignore"):  # numbers beyond float32 are refused below
        x = x.astype(np.float32, order="C")
    good = (np.abs(x) <= FARTHEST).reshape(len(x), -1).all(axis=1)
    if not good.all():
        unreadable(source, None, "coordinates in metres", f"another value in frame {int(good.argmin()) + 1}")
    return x


def unreadable(source: str, line: int | None, expected: str, found: object) -> NoReturn:
    """Raise InputError for a bad file: file, line (from 1), expected and found."""
    text = (
        found
        if isinstance(found, str)
        else repr(found.decode("utf-8", "backslashreplace") if isinstance(found, bytes) else found)
    )
    text = text if len(text) <= 60 else text[:57] + "..."
    raise InputError(f"{source}{f', line {line}' if line else ''}: expected {expected}, found {text}")
