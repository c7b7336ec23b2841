"""UTD-MHAD's MATLAB files, one per recording: `d_skel`, (V, 3, T) float64, with the frames in which the performer is
visible.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np

from stars.data.simulate.layouts import Recording
from stars.data.simulate.stage import SimulateStage

SETUPS, CAMERAS = 1, 1
# a date would change the bytes
HEAD = b"MATLAB 5.0 MAT-file, simulated".ljust(124) + struct.pack("<H2s", 0x0100, b"IM")
_MATRIX, _UINT32, _INT32, _INT8, _DOUBLE = 14, 6, 5, 1, 9  # types of a file's elements
_DOUBLES = 6  # class of a matrix


def files(recordings: Iterator[Recording], settings: SimulateStage) -> Iterator[tuple[str, bytes]]:
    """aA_sS_tT_skeleton.mat: action, subject, trial."""
    for recording in recordings:
        _, subject, trial, action = recording.performance
        yield (
            f"a{action}_s{subject}_t{trial}_skeleton.mat",
            matrix("d_skel", recording.seen(settings).transpose(1, 2, 0)),
        )


def matrix(name: str, values: np.ndarray) -> bytes:
    """An uncompressed level-5 MAT-file with one float64 array."""
    parts = (
        _element(_UINT32, struct.pack("<II", _DOUBLES, 0)),
        _element(_INT32, struct.pack(f"<{values.ndim}i", *values.shape)),
        _element(_INT8, name.encode("ascii")),
        _element(_DOUBLE, values.astype("<f8").tobytes("F")),
    )
    return HEAD + _element(_MATRIX, b"".join(parts))


def _element(kind: int, content: bytes) -> bytes:
    """Type, length and content, padded to a multiple of 8 bytes."""
    return struct.pack("<II", kind, len(content)) + content + bytes(-len(content) % 8)
