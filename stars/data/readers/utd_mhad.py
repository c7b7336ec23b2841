"""UTD-MHAD's skeleton files: MATLAB files with one array, d_skel, (20 joints, xyz, frames) in metres, of a single
body.
"""

from __future__ import annotations

import re

import numpy as np

from stars.data.readers import Clip, Found, Layout, by_name, in_metres, unreadable
from stars.data.readers.mat import variable
from stars.data.sources import Source

SUFFIXES: tuple[str, ...] = ("_skeleton.mat",)
VARIABLE = "d_skel"
_NAME = re.compile(r"a(\d{1,3})_s(\d{1,3})_t(\d{1,3})_skeleton\.mat", re.ASCII)


def clips(source: Source, layout: Layout) -> Found:
    """Every file with its clip, or with an InputError about its name."""
    return by_name(source, name_of)


def name_of(file_name: str) -> Clip:
    """a3_s1_t2_skeleton.mat: action 3, subject 1, trial 2; the data set has one camera."""
    found = _NAME.fullmatch(file_name)
    if not found:
        unreadable(file_name, None, "a name like a3_s1_t2_skeleton.mat", "another")
    action, subject, trial = map(int, found.groups())
    return Clip(f"a{action:03}_s{subject:03}_t{trial:03}", action, subject, replication=trial)


def read(data: bytes, source: str, layout: Layout) -> np.ndarray:
    """Joints (T, 1, V, 3) float32 of the file's bytes; InputError if the file is invalid."""
    x_vct = variable(data, source, VARIABLE)
    if x_vct.ndim != 3 or x_vct.shape[:2] != (len(layout.joints), 3):
        unreadable(source, None, f"{VARIABLE} of ({len(layout.joints)}, 3, frames)", str(x_vct.shape))
    return in_metres(np.moveaxis(x_vct, 2, 0), source)[:, None]
