"""A preprocessed data set as a folder of `.npy` files, one a clip: FILE/ARRAY/ROW."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeGuard

import numpy as np

from stars.data.readers import unreadable
from stars.data.readers.npy import Header
from stars.data.sources import LARGEST, Source, checked

MOST_CLIPS = 1_000_000
Side: TypeAlias = Literal["train", "test"]


@dataclass(frozen=True)
class Entry:
    """What a file says of a clip beside its joints.

    Attributes:
        name: as the file has it, or, where it names no clips, the side and the row.
        label: class, from 0.
        sides: of the file's own splits, "train", or with their names "xsub_train xset_test".
        at: where its joints lie, whatever the layout needs to find them.
    """

    name: str
    label: int
    sides: str
    at: Any


@dataclass
class Preprocessed(Source):
    """Clips of a preprocessed data set.

    Attributes:
        entries: of each of `files`.
    """

    entries: dict[str, Entry] = field(default_factory=dict)

    def only(self, names: Iterable[str]) -> Preprocessed:
        return replace(self, files=dict.fromkeys(names), entries={name: self.entries[name] for name in names}, sha256={}, _open={})

    def read(self, name: str) -> bytes:
        """A clip as a `.npy` file of (T, M, V, 3) in the file's own type of numbers; InputError where it cannot be read."""
        x_tmvc = checked(name, lambda: self.clip(name, self.entries[name]))
        file = io.BytesIO()
        np.save(file, np.ascontiguousarray(x_tmvc))
        self.sha256[name] = hashlib.sha256(file.getbuffer()).hexdigest()
        return file.getvalue()

    def clip(self, name: str, entry: Entry) -> np.ndarray:
        """(T, M, V, 3) of a clip, of any type of numbers."""
        raise NotImplementedError


def listed(root: Path, entries: dict[str, Entry]) -> dict[str, Any]:
    """Arguments of a `Preprocessed`: these files at `root`."""
    return {"root": root, "files": dict.fromkeys(entries), "entries": entries}


def is_name(value: Any) -> TypeGuard[str]:
    """Whether a value can be a clip's name: text that is one line."""
    return isinstance(value, str) and value != "" and value.isprintable()


def unpadded(x_tmvc: np.ndarray) -> np.ndarray:
    """A clip without the all-zero frames at its end; one is left of a clip that has nothing else."""
    with np.errstate(invalid="ignore"):  # what is no number is refused when it is read
        seen = np.flatnonzero(x_tmvc.any(axis=(1, 2, 3)))
    return x_tmvc[: int(seen[-1]) + 1 if len(seen) else 1]


def check_clips(found: Header, source: str) -> None:
    """InputError where an array of clips, the first axis, declares more of them or larger ones than any data set has."""
    if found.shape[0] > MOST_CLIPS:
        unreadable(source, None, f"at most {MOST_CLIPS} clips", str(found.shape[0]))
    if found.declared // found.shape[0] > LARGEST:
        unreadable(source, None, f"clips of at most {LARGEST} bytes", str(found.declared // found.shape[0]))
