"""Clips of your own: a float32 `.npy` a recording, (T, V, 3) or with room for several bodies (T, M, V, 3), and clips.csv."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

import numpy as np

from stars.data.simulate.layouts import MANY, Recording
from stars.data.simulate.stage import SimulateStage
from stars.data.skeleton import as_filed

SETUPS = CAMERAS = MANY
COLUMNS = ("file", "label", "subject", "camera", "setup", "replication")


def files(recordings: Iterator[Recording], told: SimulateStage) -> Iterator[tuple[str, bytes]]:
    """A file a recording, its frames in the order filmed, then the table with a row for each."""
    rows = io.StringIO()
    table = csv.writer(rows, lineterminator="\n")
    table.writerow(COLUMNS)
    for recording in recordings:
        setup, subject, replication, action = recording.performance
        name = f"setup{setup}/subject{subject:02d}_action{action:02d}_take{replication}_camera{recording.camera}.npy"
        table.writerow((name, told.dataset.actions[action], subject, recording.camera, setup, replication))
        yield name, _npy(as_filed(recording.joints(told), told.dataset.axes, told.dataset.unit))
    yield "clips.csv", rows.getvalue().encode()


def _npy(x_tmvc: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, (x_tmvc if x_tmvc.shape[1] > 1 else x_tmvc[:, 0]).astype("<f4"))
    return file.getvalue()
