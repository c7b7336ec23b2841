"""NW-UCLA's JSON files, one per recording, with the frames in which the performer is visible; coordinates with 6
decimals.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np

from stars.data.simulate.layouts import Recording
from stars.data.simulate.stage import SimulateStage

SETUPS, CAMERAS = 1, 99


def files(recordings: Iterator[Recording], settings: SimulateStage) -> Iterator[tuple[str, bytes]]:
    """aAA_sSS_eEE_vVV.json: action, subject, replication (from 0), view; the label is the action's rank, from 1."""
    labels = {action: label for label, action in enumerate(sorted(settings.dataset.actions), 1)}
    for recording in recordings:
        _, subject, replication, action = recording.performance
        name = f"a{action:02d}_s{subject:02d}_e{replication - 1:02d}_v{recording.camera:02d}"
        joints = np.round(recording.seen(settings), 6).tolist()
        yield f"{name}.json", json.dumps({"file_name": name, "skeletons": joints, "label": labels[action]}).encode()
