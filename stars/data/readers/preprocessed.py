"""Data sets preprocessed by other code: each clip is a `.npy` file of a `stars.data.preprocessed.source.Preprocessed`.

Subject, camera, … come from a clip's name if it follows the data set's scheme; otherwise they are unknown.
"""

from __future__ import annotations

import re

import numpy as np

from stars.data.preprocessed.source import Entry, Preprocessed
from stars.data.readers import UNKNOWN, Clip, Found, Layout, ntu, nw_ucla, pku, unreadable, utd_mhad
from stars.data.readers import folder as own
from stars.data.sources import Source
from stars.errors import InputError

SUFFIXES: tuple[str, ...] = (".npz", ".pkl", ".npy")
_NAMED = ((ntu.name_of, ".skeleton"), (nw_ucla.name_of, ".json"), (utd_mhad.name_of, "_skeleton.mat"))
_PKU = re.compile(r"(?:\d{4}|A\d{2}N\d{2})-([LMR])_.*|[AF]\d{3}(?:N\d{3})?V(\d{3})C\d{3}L\d{3}", re.ASCII)


def clips(source: Source, layout: Layout) -> Found:
    """Every clip of a preprocessed data set, or an InputError about its entry."""
    entries = source.entries if isinstance(source, Preprocessed) else {}
    actions = sorted(layout.actions)
    for file, entry in entries.items():
        try:
            yield file, [_clip(entry, file, actions)]
        except InputError as error:
            yield file, error


def _clip(entry: Entry, file: str, actions: list[int]) -> Clip:
    if not 0 <= entry.label < len(actions):
        unreadable(
            file,
            None,
            f"a label from 0 to {len(actions) - 1}, since the description has {len(actions)} actions",
            str(entry.label),
        )
    action = actions[entry.label]
    known = named(entry.name)
    if known and known.action != action:
        unreadable(
            file,
            None,
            f"the label of action {known.action}, as its name {entry.name} says",
            f"{entry.label}, of action {action}",
        )
    if known:
        return Clip(known.name, action, known.subject, known.camera, known.setup, known.replication, sides=entry.sides)
    return Clip(entry.name, action, UNKNOWN, _camera(entry.name), UNKNOWN, UNKNOWN, sides=entry.sides)


def named(name: str) -> Clip | None:
    """Parse a clip's name according to the data sets' schemes; None if it follows none."""
    for name_of, ending in _NAMED:
        try:
            return name_of(name + ending)
        except InputError:
            continue
    return None


def _camera(name: str) -> int:
    """The camera in a PKU-MMD name, of a video or of a clip in an array."""
    found = _PKU.fullmatch(name)
    if not found:
        return UNKNOWN
    return pku.CAMERAS[found.group(1)] if found.group(1) else int(found.group(2))


def read(data: bytes, source: str, layout: Layout) -> np.ndarray:
    """Joints (T, M, V, 3) float32 of a clip; InputError if they do not fit the description.

    A second body that is always absent, or a copy of the first, is removed, and `ingest.single_body` determines how it
    is filled. Exception: if the description uses copies, as NTU-120's does, a second body of zeros in a `.npz` or
    `.pkl` is kept, since a single person has a copy there.
    """
    x_tmvc = own.read(data, source, layout)
    if x_tmvc.shape[1] == 2:
        absent = not x_tmvc[:, 1].any() and (layout.single_body != "copy" or layout.reader == "npy")
        if absent or np.array_equal(x_tmvc[:, 1], x_tmvc[:, 0]):
            return x_tmvc[:, :1]
    return x_tmvc
