"""UTD-MHAD's skeleton files: MATLAB files with one array, d_skel, (20 joints, xyz, frames) in metres, of a single body."""

from __future__ import annotations

import io
import re

import numpy as np
import scipy.io

from stars.data.readers import FARTHEST, Clip, Found, Layout, by_name, unreadable
from stars.data.sources import Source

SUFFIXES: tuple[str, ...] = ("_skeleton.mat",)
VARIABLE = "d_skel"
LONGEST = 100_000  # frames; an hour of 30 a second
_NAME = re.compile(r"a(\d{1,3})_s(\d{1,3})_t(\d{1,3})_skeleton\.mat", re.ASCII)


def clips(source: Source, layout: Layout) -> Found:
    """Every file with its clip, or with what is wrong with its name."""
    return by_name(source, name_of)


def name_of(file_name: str) -> Clip:
    """a3_s1_t2_skeleton.mat: action 3, subject 1, trial 2; the set has one camera."""
    found = _NAME.fullmatch(file_name)
    if not found:
        unreadable(file_name, None, "a name like a3_s1_t2_skeleton.mat", "another")
    action, subject, trial = map(int, found.groups())
    return Clip(f"a{action:03}_s{subject:03}_t{trial:03}", action, subject, replication=trial)


def read(data: bytes, source: str, layout: Layout) -> np.ndarray:
    """Joints (T, 1, V, 3) float32 of the file's bytes; InputError where they are not such a file."""
    x_vct = _variable(data, source)
    if x_vct.ndim != 3 or x_vct.shape[:2] != (len(layout.joints), 3) or x_vct.shape[2] > LONGEST:
        unreadable(source, None, f"{VARIABLE} of ({len(layout.joints)}, 3, frames)", str(x_vct.shape))
    if x_vct.dtype.kind not in "fiu":
        unreadable(source, None, f"{VARIABLE} of numbers", str(x_vct.dtype))
    x_tvc = np.moveaxis(x_vct, 2, 0).astype(np.float64)
    if not (np.abs(x_tvc) <= FARTHEST).all():
        frame = int(np.argmin((np.abs(x_tvc) <= FARTHEST).all(axis=(1, 2))))
        unreadable(source, None, "coordinates in metres", f"another value in frame {frame + 1}")
    return x_tvc.astype(np.float32)[:, None]


def _variable(data: bytes, source: str) -> np.ndarray:
    if not data.startswith(b"MATLAB 5.0 MAT-file"):
        unreadable(source, 1, "a MATLAB 5.0 MAT-file", data[:20])
    try:
        found = scipy.io.loadmat(io.BytesIO(data), variable_names=[VARIABLE]).get(VARIABLE)
    except Exception as error:  # scipy's parser meets damaged bytes with whatever they lead it to
        unreadable(source, None, "a whole MATLAB file", " ".join(str(error).split()) or type(error).__name__)
    if not isinstance(found, np.ndarray):
        unreadable(source, None, f"a variable {VARIABLE}", "none")
    return found
