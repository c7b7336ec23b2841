"""A preprocessed data set as a folder of `.npy` files, one per clip: FILE/ARRAY/ROW."""

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
    """A clip in a preprocessed file, without its joints.

    Attributes:
        name: as in the file or, if it names no clips, side and row.
        label: class, from 0.
        sides: sides in the file's splits, "train", or with their names "xsub_train xset_test".
        at: location of its joints; its type depends on the layout.
    """

    name: str
    label: int
    sides: str
    at: Any


@dataclass
class Preprocessed(Source):
    """Clips of a preprocessed data set.

    Attributes:
        entries: entry of each of `files`.
    """

    entries: dict[str, Entry] = field(default_factory=dict)

    def only(self, names: Iterable[str]) -> Preprocessed:
        return replace(
            self, files=dict.fromkeys(names), entries={name: self.entries[name] for name in names}, sha256={}, _open={}
        )

    def read(self, name: str) -> bytes:
        """A clip as the bytes of a `.npy` file, (T, M, V, 3), in the file's dtype; InputError if it cannot be read."""
        x_tmvc = checked(name, lambda: self.clip(name, self.entries[name]))
        file = io.BytesIO()
        np.save(file, np.ascontiguousarray(x_tmvc))
        self.sha256[name] = hashlib.sha256(file.getbuffer()).hexdigest()
        return file.getvalue()

    def clip(self, name: str, entry: Entry) -> np.ndarray:
        """A clip (T, M, V, 3) of any dtype."""
        raise NotImplementedError


def listed(root: Path, entries: dict[str, Entry]) -> dict[str, Any]:
    """Arguments of `Preprocessed` for these files at `root`."""
    return {"root": root, "files": dict.fromkeys(entries), "entries": entries}


def is_name(value: Any) -> TypeGuard[str]:
    """Whether a value can be a clip's name: text on one line."""
    return isinstance(value, str) and value != "" and value.isprintable()


def unpadded(x_tmvc: np.ndarray) -> np.ndarray:
    """A clip without all-zero frames at its end; at least one frame remains."""
    with np.errstate(invalid="ignore"):  # NaN is refused when the clip is read
        seen = np.flatnonzero(x_tmvc.any(axis=(1, 2, 3)))
    return x_tmvc[: int(seen[-1]) + 1 if len(seen) else 1]


def check_clips(found: Header, source: str) -> None:
    """InputError if an array (clips, …) declares more or larger clips than any data set has."""
    if found.shape[0] > MOST_CLIPS:
        unreadable(source, None, f"at most {MOST_CLIPS} clips", str(found.shape[0]))
    if found.declared // found.shape[0] > LARGEST:
        unreadable(source, None, f"clips of at most {LARGEST} bytes", str(found.declared // found.shape[0]))
