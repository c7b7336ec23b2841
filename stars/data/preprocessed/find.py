"""Detects the layout of a preprocessed data set by its contents."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from stars.data.preprocessed.npy import halves, open_npy
from stars.data.preprocessed.npz import MEMBERS, open_npz
from stars.data.preprocessed.pyskl import open_pyskl
from stars.data.preprocessed.source import Preprocessed
from stars.data.readers import Layout
from stars.errors import InputError

Kind: TypeAlias = Literal["npz", "pyskl", "npy"]
KINDS: tuple[Kind, ...] = get_args(Kind)
HOLDS: dict[str, str] = {
    "npz": "a .npz file with x_train, y_train, x_test and y_test",
    "pyskl": "a .pkl file with split and annotations",
    "npy": (
        "a folder with train_data.npy, train_data_joint.npy or train_position.npy, train_label.pkl, and the same of val"
    ),
}


def preprocessed(raw: Path, layout: Layout, name: str) -> tuple[Kind, Preprocessed] | None:
    """Layout and clips of the preprocessed data set at `raw`, a file or a folder; None if it is no such data set.

    Args:
        name: of the data set, for messages.

    Raises:
        InputError: it is damaged, has other joints, or there are several; or the description's reader requires one and
            there is none.
    """
    found = [(kind, path) for kind, path in _candidates(raw) if layout.reader not in KINDS or layout.reader == kind]
    if len(found) > 1:
        shown = " and ".join(path.relative_to(raw).as_posix() for _, path in found[:2])
        raise InputError(f"{raw} contains {shown}: set data.{name}.raw to one of them")
    if not found and layout.reader in KINDS:
        raise InputError(f"{raw}: expected {HOLDS[layout.reader]}, found none: set data.{name}.raw to its path")
    if not found:
        return None
    kind, path = found[0]
    if kind == "npy":
        return kind, open_npy(raw, halves(path.iterdir()), layout)
    return kind, (open_npz if kind == "npz" else open_pyskl)(raw, path, layout)


def _candidates(raw: Path) -> Iterator[tuple[Kind, Path]]:
    """Files and folders that may be preprocessed data sets. `raw` itself is detected by its first bytes, other files
    by their suffixes.
    """
    if raw.is_file():
        if _begins(raw, b"PK") and _is_npz(raw):
            yield "npz", raw
        elif _begins(raw, b"\x80") or raw.suffix == ".pkl":
            yield "pyskl", raw
        elif raw.suffix == ".npy":
            raise InputError(f"{raw}: name its folder, which also contains the labels and the other side of the split")
        return
    files = sorted(path for path in raw.rglob("*") if path.suffix in (".npz", ".pkl", ".npy"))
    yield from (("npz", path) for path in files if path.suffix == ".npz")
    yield from (("pyskl", path) for path in files if path.suffix == ".pkl" and not path.stem.endswith("label"))
    yield from (("npy", folder) for folder in sorted({half.array.parent for half in halves(files)}))


def _begins(path: Path, head: bytes) -> bool:
    with path.open("rb") as file:
        return file.read(len(head)) == head


def _is_npz(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return path.suffix == ".npz" or not MEMBERS.isdisjoint(archive.namelist())
    except zipfile.BadZipFile:
        return path.suffix == ".npz"
