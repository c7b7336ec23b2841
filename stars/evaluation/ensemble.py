"""Fusion of several methods: weighted sums of features or of classifiers' scores (the "three-stream" rows of Tables
1 and 2).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from stars.config import Settings
from stars.data.store import ClipStore
from stars.errors import InputError
from stars.evaluation.features import PARTS, feature_file, read_features
from stars.evaluation.metrics import RESULT_FILES, Task, present, rank, score, write_result
from stars.provenance.files import read_npz, write_npy
from stars.provenance.record import recording

STAGE = "stars.evaluation.ensemble"


class Member(Settings):
    """A method and its weight."""

    method: str
    weight: float


class EnsembleStage(Settings):
    """The members, in the order of their files."""

    members: tuple[Member, ...] = Field(min_length=1)


class ScoresStage(EnsembleStage):
    """The members, and the protocol whose scores are added."""

    protocol: Literal["linear", "finetune"]


def features(
    members: Sequence[Path], clips: Path, train: Path, test: Path, out: Path, target: str, settings: EnsembleStage
) -> None:
    """Write {target}_train.npy and {target}_test.npy, the weighted sum of the members' features (N, C), and
    {target}.record.json.

    Args:
        members: folders of their features, in the order of `settings.members`; clips: clip store; train, test: split
            files.

    Raises InputError if a file is missing or does not match the others, or features differ in width.
    """
    weights = _weights(members, settings)
    store = ClipStore.open(clips)
    task = Task.of(store, train, test, target)
    inputs = {"clips": Path(clips) / "clips.csv", "train": train, "test": test}
    inputs |= {
        f"{part}_{name}": feature_file(folder, target, part, "encoder") for name, folder, _ in weights for part in PARTS
    }
    files = [feature_file(out, target, part, "encoder") for part in PARTS]
    with recording(
        out,
        STAGE,
        settings.model_dump(mode="json"),
        present(inputs),
        [path.name for path in files],
        f"{target}.record.json",
    ):
        for part, path in zip(PARTS, files, strict=True):
            write_npy(
                path,
                _sum(
                    [(name, read_features(folder, task, part, "encoder"), weight) for name, folder, weight in weights]
                ),
            )


def scores(
    members: Sequence[Path], clips: Path, train: Path, test: Path, out: Path, target: str, settings: ScoresStage
) -> None:
    """Write metrics.json and predictions.npz of the classifiers' scores, added, and record.json.

    Args:
        members: folders of the members' results by the protocol, in the order of `settings.members`; the rest as in
            `features`.

    Raises InputError if a file is missing, has no scores, or covers other clips.
    """
    weights = _weights(members, settings)
    inputs = {"clips": Path(clips) / "clips.csv", "train": train, "test": test}
    inputs |= {f"predictions_{name}": Path(folder) / "predictions.npz" for name, folder, _ in weights}
    with recording(out, STAGE, settings.model_dump(mode="json"), present(inputs), RESULT_FILES):
        task = Task.of(ClipStore.open(clips), train, test, target)
        added = _sum(
            [(name, _scores(Path(folder) / "predictions.npz", task), weight) for name, folder, weight in weights]
        )
        ranking = rank(added)
        write_result(
            out,
            settings.protocol,
            task,
            task.test_rows,
            [ranking],
            [{"epoch": "last", **score(ranking, task)}],
            {"scores": added.astype(np.float16)},
        )


def _weights(members: Sequence[Path], settings: EnsembleStage) -> list[tuple[str, Path, float]]:
    if len(members) != len(settings.members):
        names = ", ".join(member.method for member in settings.members)
        raise InputError(
            f"{len(members)} folders for the {len(settings.members)} members {names}: name one folder per member"
        )
    return [
        (member.method, Path(folder), member.weight) for member, folder in zip(settings.members, members, strict=True)
    ]


def _scores(path: Path, task: Task) -> np.ndarray:
    """A classifier's scores for the test clips, (N, classes) float32."""
    try:
        found = read_npz(path, ("name", "scores"))
    except InputError:
        raise InputError(f"{path} contains no scores: delete its folder and run its protocol again") from None
    if not np.array_equal(found["name"], task.names[task.test_rows]):
        raise InputError(f"{path} has other test clips than the split: run its protocol again")
    return found["scores"].astype(np.float32)


def _sum(weighted: Sequence[tuple[str, np.ndarray, float]]) -> np.ndarray:
    """Σ weight · array, float32; InputError naming the first member whose array has another shape than the first's."""
    first, shape = weighted[0][0], weighted[0][1].shape
    for name, array, _ in weighted:
        if array.shape != shape:
            raise InputError(
                f"{name} has {array.shape[1]} values per clip, {first} has {shape[1]}: choose members of one width"
            )
    total: np.ndarray = sum((np.float32(weight) * array for _, array, weight in weighted), np.zeros(shape, np.float32))
    return total
