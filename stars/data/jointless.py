"""A clip store without joints, as in an unpacked archive: names, labels and lengths only."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from stars.data.store import FRAMES, OFFSETS, TABLE, ClipStore, read_table
from stars.errors import InputError
from stars.provenance.files import read_npy


def open_store(folder: Path) -> ClipStore:
    """Open the store in `folder`; if its joints are missing, with as many frames of zeros, which take no memory.

    Raises:
        InputError: a file is missing, damaged or from another run.
    """
    if (folder / FRAMES).is_file():
        return ClipStore.open(folder)
    table, offsets = read_table(folder / TABLE), read_npy(folder / OFFSETS)
    if offsets.shape != (len(table) + 1,) or not np.array_equal(np.diff(offsets), table["frames"]):
        raise InputError(f"{folder}: {OFFSETS} and {TABLE} are from different runs: unpack the archive again")
    return ClipStore(np.broadcast_to(np.zeros(1, np.float32), (int(table["frames"].sum()), 1, 1, 3)), offsets, table)


def has_joints(folder: Path) -> bool:
    """Whether the store contains joints."""
    return (folder / FRAMES).is_file()
