"""Joint positions as features: the KNN baseline without any training."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from stars.config import Joints, Settings
from stars.data.store import ClipStore
from stars.errors import InputError
from stars.evaluation.features import PARTS, check_finite, feature_file, rows_of
from stars.evaluation.metrics import Task, present
from stars.provenance.files import write_npy
from stars.provenance.record import recording


class JointsStage(Settings):
    """Settings of the stage; `root` is the joint that is subtracted."""

    joints: Joints
    root: int


def describe(clips: Path, train: Path, test: Path, out: Path, target: str, settings: JointsStage) -> None:
    """Write {target}_train.npy and {target}_test.npy, (clips, F · M · V · 3) float32 in the split's order, and
    {target}.record.json.

    Args:
        clips: clip store; train, test: split files; out: folder for the features; target: name of the data set.

    Raises:
        InputError: a file is missing or does not match the others, or a coordinate is not finite.
    """
    store = ClipStore.open(clips)
    task = Task.of(store, train, test, target)
    inputs = present({**{name: Path(clips) / file for name, file in STORE.items()}, "train": train, "test": test})
    files = [feature_file(out, target, part, "encoder") for part in PARTS]
    values = settings.model_dump(mode="json")
    if settings.root >= store.joints:
        raise InputError(
            f"root is joint {settings.root}, but the clips have {store.joints} joints: correct it in the data set's"
            " YAML"
        )
    with recording(out, __name__, values, inputs, [path.name for path in files], f"{target}.record.json"):
        for part, path in zip(PARTS, files, strict=True):
            rows = rows_of(task, part)
            features = np.stack([positions(store[row], settings.root, settings.joints.frames) for row in rows])
            check_finite(features, task.names[rows], path)
            write_npy(path, features)


STORE = {"clips": "clips.csv", "frames": "frames.npy", "offsets": "offsets.npy"}


def positions(x_tmvc: np.ndarray, root: int, frames: int) -> np.ndarray:
    """A clip (T, M, V, 3) in metres → (frames · M · V · 3,) float32: joints relative to their body's root, at evenly
    spaced times.

    Absent bodies stay zero. Joints are interpolated linearly between frames. The cosine of these vectors is invariant
    to body size.
    """
    at = np.linspace(0, len(x_tmvc) - 1, frames)
    before = at.astype(int)
    after = np.minimum(before + 1, len(x_tmvc) - 1)
    share = (at - before)[:, None, None, None]
    present = x_tmvc.any(axis=(2, 3), keepdims=True)
    centred = (x_tmvc - x_tmvc[:, :, root : root + 1]) * present
    return (centred[before] * (1 - share) + centred[after] * share).astype(np.float32).ravel()
