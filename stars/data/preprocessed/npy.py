"""Arrays of ST-GCN, 2s-AGCN, CrosSCLR and AimCLR: one folder with an array and a file of labels for each side of a
split.

    train_data.npy, train_data_joint.npy or train_position.npy    (clips, 3, frames, joints, bodies), zeros after a clip's last frame
    train_label.pkl                                               (names, classes from 0),
    or train_label.npy                                            (clips,) or (clips, 1), classes from 0: clips without names

and the same for val, or test. Bone and motion files are ignored.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from stars.data.preprocessed.pickles import Array, load
from stars.data.preprocessed.source import Entry, Preprocessed, Side, check_clips, is_name, listed, unpadded
from stars.data.readers import Layout, unreadable
from stars.data.readers.npy import BEGINNING, Header, check_size, header, numbers
from stars.data.sources import LARGEST, checked

SIDES: dict[str, Side] = {"train": "train", "val": "test", "test": "test"}
ARRAYS, LABELS = ("data", "data_joint", "position"), ("label.pkl", "label.npy")
ENDING = ".skeleton"  # suffix of clips' names in such files


class _At(NamedTuple):
    """Location of a clip's joints: byte in a file, shape (3, T, V, M) and dtype."""

    path: Path
    start: int
    shape: tuple[int, ...]
    dtype: np.dtype


class Half(NamedTuple):
    """One side of a split: its array and its labels."""

    side: Side
    array: Path
    labels: Path


@dataclass
class Npy(Preprocessed):
    """Clips of a folder of arrays."""

    def clip(self, name: str, entry: Entry) -> np.ndarray:
        at: _At = entry.at
        size = int(np.prod(at.shape)) * at.dtype.itemsize
        with at.path.open("rb") as file:
            data = os.pread(file.fileno(), size, at.start)
        if len(data) != size:
            unreadable(name, None, f"{size} bytes of numbers", str(len(data)))
        x_ctvm = np.frombuffer(data, at.dtype).reshape(at.shape)
        return unpadded(x_ctvm.transpose(1, 3, 2, 0))


def halves(files: Iterable[Path]) -> list[Half]:
    """Arrays among `files` that have a file of labels."""
    names, found = set(files), []
    for path in sorted(names):
        word, _, kind = path.stem.partition("_")
        labels = [path.with_name(f"{word}_{ending}") for ending in LABELS]
        there = [labelled for labelled in labels if labelled in names]
        if path.suffix == ".npy" and word in SIDES and kind in ARRAYS and there:
            found.append(Half(SIDES[word], path, there[0]))
    return found


def open_npy(root: Path, found: list[Half], layout: Layout) -> Npy:
    """Open the clips of some sides in folder `root`.

    Raises:
        InputError: a file has another layout or other joints than the description, or the files do not belong together.
    """
    entries: dict[str, Entry] = {}
    for side, path, labels in found:
        folder = path.parent.resolve().name  # names the split
        shown = f"{folder}/{path.name}"
        head, size = checked(shown, partial(_beginning, path))
        held = header(head, shown)
        check_size(held, size, shown)
        _check_shape(held, shown, len(layout.joints))
        names, classes = _labels(labels, f"{folder}/{labels.name}", side, held.shape[0])
        row_bytes = held.declared // held.shape[0]
        for row, (name, label) in enumerate(zip(names, classes, strict=True)):
            at = _At(path, held.end + row * row_bytes, held.shape[1:], held.dtype)
            entries[f"{shown}/{row}"] = Entry(name, label, side, at)
    return Npy(**listed(root, entries))


def _beginning(path: Path) -> tuple[bytes, int]:
    with path.open("rb") as file:
        return file.read(BEGINNING), path.stat().st_size


def _check_shape(held: Header, shown: str, joints: int) -> None:
    if len(held.shape) != 5 or (held.shape[1], held.shape[3]) != (3, joints) or held.order != "C":
        unreadable(
            shown,
            None,
            f"(clips, 3, frames, {joints} joints, bodies), row by row",
            f"shape {held.shape}, order {held.order}",
        )
    check_clips(held, shown)


def _labels(path: Path, shown: str, side: Side, clips: int) -> tuple[list[str], list[int]]:
    """Names and classes of a side's clips."""
    if path.suffix == ".npy":
        names, labels = [f"{side}_{row:06}" for row in range(clips)], _numbers(path, shown)
    else:
        names, labels = checked(shown, lambda: _named(path, shown))
    if len(names) != clips or len(labels) != clips:
        unreadable(
            shown, None, f"{clips} clips, as in the array beside it", f"{len(names)} names, {len(labels)} labels"
        )
    return names, labels


def _numbers(path: Path, shown: str) -> list[int]:
    if path.stat().st_size > LARGEST:
        unreadable(shown, None, f"a file of at most {LARGEST} bytes", str(path.stat().st_size))
    y = numbers(checked(shown, path.read_bytes), shown)
    if y.dtype.kind not in "iu" or y.ndim > 2 or y[:1].size != 1:
        unreadable(shown, None, "(clips, 1) whole numbers", f"{y.dtype} {y.shape}")
    return [int(label) for label in y.ravel()]


def _named(path: Path, shown: str) -> tuple[list[str], list[int]]:
    with path.open("rb") as file:
        value = load(file, shown)
        if not isinstance(value, tuple | list) or len(value) < 2:
            unreadable(shown, None, "names and labels", f"a {type(value).__name__}")
        names, labels = value[0], _plain(value[1], file, shown)
    if not isinstance(names, list | tuple) or not all(map(is_name, names)):
        unreadable(shown, None, "a list of names", f"a {type(names).__name__}")
    if not isinstance(labels, list | tuple) or not all(type(label) is int for label in labels):
        unreadable(shown, None, "a list of whole numbers as labels", f"a {type(labels).__name__}")
    return [name.removesuffix(ENDING) for name in names], list(labels)


def _plain(labels: Any, file: Any, shown: str) -> Any:
    return labels.read(file, shown).ravel().tolist() if isinstance(labels, Array) else labels
