"""Raw layouts, one module each: which clips the files hold, and how a file's bytes become joints.

A reader module has
    SUFFIXES                                  how the names of the files end that it wants to see
    clips(source, layout)                     every file that holds joints, with the clips in it, or with what is wrong with it
    read(bytes, source, layout) -> RawClip    a file's joints; InputError with file, line, expected and found
and nothing else is asked of it. It never opens a file: bytes come from a folder or a zip alike.
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

UNKNOWN = 0  # a clip's number where nothing says it
FARTHEST = 1e6  # metres; a coordinate beyond it is damage, and would overflow what is computed from it in float32


class Layout(Settings):
    """What ingest needs of a data set's description. Splits and titles are not in it: changing them re-ingests nothing."""

    home: str
    reader: ReaderName
    bodies: int
    joints: tuple[str, ...]
    root: int
    axes: tuple[Axis, Axis, Axis] = PLAIN  # these four have defaults for records from before they were read
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
    """What is known of a clip before its joints are read; numbers are the data set's own, from 1.

    span: frames [start, end) of the file, from 0, that are the clip; None: all of them.
    sides: of splits that the file brings with it, "train", "test" or "xsub_train xset_test"; "": it brings none.
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
    """All sightings of one body id: joints (n, V, 3) float32 in metres, and the frame of the first, not counting empty frames."""

    joints: np.ndarray
    start: int

    @property
    def end(self) -> int:
        """One past the last frame. A body that vanishes and comes back is shifted left: each new sighting follows the one before."""
        return self.start + len(self.joints)


@dataclass(frozen=True, eq=False)
class Sightings:
    """A clip as a tracker saw it: body id → Body, in order of appearance; frames: those with at least one body."""

    bodies: dict[int, Body]
    frames: int


RawClip: TypeAlias = Sightings | np.ndarray  # an array is (T, M, V, 3) with bodies already told apart


Found: TypeAlias = Iterator[tuple[str, list[Clip] | InputError]]


class Reader(Protocol):
    """Shape of a reader module."""

    SUFFIXES: tuple[str, ...]

    def clips(self, source: Source, layout: Layout, /) -> Found: ...

    def read(self, data: bytes, source: str, layout: Layout, /) -> RawClip: ...


def reader(name: ReaderName) -> Reader:
    """The reader module of that name.

    Imported by statements, since the digest of a stage's code follows those, and one at a time, since some need a slow library.
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
    """`clips` of a layout in which a file holds one clip and its name says which."""
    for file in source.files:
        try:
            yield file, [name_of(PurePosixPath(file).name)]
        except InputError as error:
            yield file, error


def in_metres(x: np.ndarray, source: str) -> np.ndarray:
    """Numbers of any kind, frames first, as float32.

    Raises:
        InputError: the first frame with a number that is no coordinate.
    """
    with np.errstate(over="ignore", invalid="ignore"):  # what float32 cannot hold is refused below
        x = x.astype(np.float32, order="C")
    good = (np.abs(x) <= FARTHEST).reshape(len(x), -1).all(axis=1)
    if not good.all():
        unreadable(source, None, "coordinates in metres", f"another value in frame {int(good.argmin()) + 1}")
    return x


def unreadable(source: str, line: int | None, expected: str, found: object) -> NoReturn:
    """Raise the error of a bad file: file, line (from 1), what was expected and what stands there."""
    text = found if isinstance(found, str) else repr(found.decode("utf-8", "backslashreplace") if isinstance(found, bytes) else found)
    text = text if len(text) <= 60 else text[:57] + "..."
    raise InputError(f"{source}{f', line {line}' if line else ''}: expected {expected}, found {text}")
