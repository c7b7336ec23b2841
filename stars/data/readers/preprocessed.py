"""Data sets that other code has preprocessed, for `stars.data.preprocessed.source.Preprocessed`, in which each clip is a `.npy` file.

A clip's numbers are those of its name, where it has one that a data set's own files have; else they are unknown.
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
    """Every clip of a preprocessed data set, or what is wrong with what is said of it."""
    entries = source.entries if isinstance(source, Preprocessed) else {}
    actions = sorted(layout.actions)
    for file, entry in entries.items():
        try:
            yield file, [_clip(entry, file, actions)]
        except InputError as error:
            yield file, error


def _clip(entry: Entry, file: str, actions: list[int]) -> Clip:
    if not 0 <= entry.label < len(actions):
        unreadable(file, None, f"a label from 0 to {len(actions) - 1}, as the description has {len(actions)} actions", str(entry.label))
    action = actions[entry.label]
    known = named(entry.name)
    if known and known.action != action:
        unreadable(file, None, f"the label of action {known.action}, as its name {entry.name} says", f"{entry.label}, of action {action}")
    if known:
        return Clip(known.name, action, known.subject, known.camera, known.setup, known.replication, sides=entry.sides)
    return Clip(entry.name, action, UNKNOWN, _camera(entry.name), UNKNOWN, UNKNOWN, sides=entry.sides)


def named(name: str) -> Clip | None:
    """What a name says that is made as a data set's files are named; None where it says nothing."""
    for name_of, ending in _NAMED:
        try:
            return name_of(name + ending)
        except InputError:
            continue
    return None


def _camera(name: str) -> int:
    """The camera that a name of PKU-MMD says, as videos are named or as in arrays of its clips."""
    found = _PKU.fullmatch(name)
    if not found:
        return UNKNOWN
    return pku.CAMERAS[found.group(1)] if found.group(1) else int(found.group(2))


def read(data: bytes, source: str, layout: Layout) -> np.ndarray:
    """Joints (T, M, V, 3) float32 of a clip; InputError where they are not of the description.

    A second body that is absent from the whole clip, or a copy of the first, is no body: `ingest.single_body` says what becomes of it. But where the
    description has copies, as NTU-120's, one of zeros in a `.npz` or `.pkl` stays: there a clip of one person has a copy, or one body.
    """
    x_tmvc = own.read(data, source, layout)
    if x_tmvc.shape[1] == 2:
        absent = not x_tmvc[:, 1].any() and (layout.single_body != "copy" or layout.reader == "npy")
        if absent or np.array_equal(x_tmvc[:, 1], x_tmvc[:, 0]):
            return x_tmvc[:, :1]
    return x_tmvc
