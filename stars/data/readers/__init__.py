"""Raw layouts, one module each: how a file name tells what a clip is, and how a file's bytes become joints.

A reader module has
    SUFFIX: str                               how the names of its files end
    name_of(file name) -> Clip                what the name says; InputError where it does not fit the layout
    read(bytes, source, layout) -> RawClip    the file's joints; InputError with file, line, expected and found
and nothing else is asked of it. It never opens a file: bytes come from a folder or a zip alike.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Literal, NoReturn, Protocol, TypeAlias

import numpy as np

from stars.config import Settings
from stars.data.dataset import Dataset
from stars.errors import InputError

FARTHEST = 1e6  # metres; a coordinate beyond it is damage, and would overflow what is computed from it in float32


class Layout(Settings):
    """What ingest needs of a data set's description. Splits and titles are not in it: changing them re-ingests nothing."""

    home: str
    reader: Literal["ntu", "utd_mhad"]
    bodies: int
    joints: tuple[str, ...]
    root: int
    centre: Literal["first_frame_root", "none"]
    single_body: Literal["zeros", "copy"]
    actions: dict[int, str]
    subjects: tuple[int, ...] | None

    @classmethod
    def of(cls, dataset: Dataset) -> Layout:
        """The part of a description that ingest reads."""
        return cls(**dataset.model_dump(include=set(cls.model_fields)))


@dataclass(frozen=True, order=True)
class Clip:
    """What a file name says of its clip; numbers are the data set's own, from 1."""

    name: str
    action: int
    subject: int
    camera: int = 1
    setup: int = 1
    replication: int = 1


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


class Reader(Protocol):
    """Shape of a reader module."""

    SUFFIX: str

    def name_of(self, file_name: str, /) -> Clip: ...

    def read(self, data: bytes, source: str, layout: Layout, /) -> RawClip: ...


def reader(name: str) -> Reader:
    """The reader module of that name."""
    return importlib.import_module(f"{__name__}.{name}")  # type: ignore[return-value]


def unreadable(source: str, line: int | None, expected: str, found: object) -> NoReturn:
    """Raise the error of a bad file: file, line (from 1), what was expected and what stands there."""
    text = found if isinstance(found, str) else repr(found.decode("utf-8", "backslashreplace") if isinstance(found, bytes) else found)
    text = text if len(text) <= 60 else text[:57] + "..."
    raise InputError(f"{source}{f', line {line}' if line else ''}: expected {expected}, found {text}")
