"""PKU-MMD's videos: consecutive actions in one text file, one line per frame; coordinates with 6 decimals."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

import numpy as np

from stars.data.simulate.layouts import MANY, Recording
from stars.data.simulate.layouts.digits import decimals
from stars.data.simulate.stage import SimulateStage

SETUPS, CAMERAS = MANY, 3
VIEWS = "MLR"  # the simulator's cameras: middle, left, right
WAITING = (10, 31)  # frames between two actions, at least and less than


def files(recordings: Iterator[Recording], settings: SimulateStage) -> Iterator[tuple[str, bytes]]:
    """One video with labels for each subject, setup, replication and camera; then the splits' lists."""
    subjects: dict[str, int] = {}  # video → subject
    second_phase = any(name.endswith("_v2") for name in settings.dataset.lists)
    for number, (take, group) in enumerate(groupby(recordings, lambda recording: recording.performance[:3]), 1):
        shots = list(group)
        for camera, view in enumerate(VIEWS, 1):
            if filmed := [shot for shot in shots if shot.camera == camera]:
                name = (f"A{number // 100:02d}N{number % 100:02d}" if second_phase else f"{number:04d}") + f"-{view}"
                subjects[name] = take[1]
                yield from zip((f"skeletons/{name}.txt", f"labels/{name}.txt"), _video(filmed, settings), strict=True)
    for listed in settings.dataset.lists:
        yield f"{listed}.txt", _list(subjects, by_view="view" in listed)


def _list(subjects: dict[str, int], by_view: bool) -> bytes:
    """A split's list, training videos on the second line: of odd subjects, or not from the left camera."""
    trains = {name: name[-1] != "L" if by_view else subject % 2 == 1 for name, subject in subjects.items()}
    training, validation = (", ".join(name for name in trains if trains[name] == side) for side in (True, False))
    return f"Training videos:\n{training},\nValidation videos:\n{validation},\n".encode()


def _video(shots: list[Recording], settings: SimulateStage) -> tuple[bytes, bytes]:
    """Text of joints and labels; before each action and at the end the actor holds the next or last pose."""
    parts, labels, frame = [], [], 0
    for shot in shots:
        acted = shot.joints(settings)
        waits = int(np.random.default_rng((settings.seed, 5, *shot.performance)).integers(*WAITING))
        parts += [np.repeat(acted[:1], waits, 0), acted]
        labels.append(f"{shot.performance.action},{frame + waits},{frame + waits + len(acted)},2\n")
        frame += waits + len(acted)
    x_tmvc = np.concatenate([*parts, np.repeat(parts[-1][-1:], WAITING[0], 0)])
    return _lines(x_tmvc), "".join(labels).encode()


def _lines(x_tmvc: np.ndarray) -> bytes:
    """One line per frame: x y z of each joint of each body."""
    text = decimals(x_tmvc.reshape(len(x_tmvc), -1), 6)
    text[:, -1] = ord("\n")
    return text[text != 0].tobytes()
