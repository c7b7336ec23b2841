"""The layout of your own clips: one float32 `.npy` per recording, (T, V, 3) or (T, M, V, 3), and clips.csv."""

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


def files(recordings: Iterator[Recording], settings: SimulateStage) -> Iterator[tuple[str, bytes]]:
    """One file per recording, then the table."""
    rows = io.StringIO()
    table = csv.writer(rows, lineterminator="\n")
    table.writerow(COLUMNS)
    for recording in recordings:
        setup, subject, replication, action = recording.performance
        name = f"setup{setup}/subject{subject:02d}_action{action:02d}_take{replication}_camera{recording.camera}.npy"
        table.writerow((name, settings.dataset.actions[action], subject, recording.camera, setup, replication))
        yield name, _npy(as_filed(recording.joints(settings), settings.dataset.axes, settings.dataset.unit))
    yield "clips.csv", rows.getvalue().encode()


def _npy(x_tmvc: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, (x_tmvc if x_tmvc.shape[1] > 1 else x_tmvc[:, 0]).astype("<f4"))
    return file.getvalue()
