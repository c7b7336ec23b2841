"""Custom protocols: the file plugins/protocols/NAME.py defines the protocol NAME and needs no registration.

It defines `Options`, its settings with defaults, and

    classify(train_nc, labels_n, test_mc, options) -> scores (M, classes)

for features of the training clips (N, C) float32 with labels (N,) int64, and of the test clips (M, C). The class with
the largest score is predicted; ties go to the lowest label.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from stars import plugins
from stars.config import Settings
from stars.config import key as setting
from stars.config.reading import validate
from stars.data.store import ClipStore
from stars.errors import InputError
from stars.evaluation.features import PARTS, feature_file, read_features
from stars.evaluation.metrics import RESULT_FILES, Task, present, rank, score, write_result
from stars.provenance.record import recording


class PluginStage(Settings):
    """Settings of the protocol."""

    name: str = setting(..., "its file's name", pattern="^[a-z][a-z_]*$")
    options: dict[str, Any]


def evaluate(
    features: Path, target: str, clips: Path, train: Path, test: Path, out: Path, settings: PluginStage
) -> None:
    """Run the protocol `settings.name` on the encoder's features; write metrics.json, predictions.npz and record.json
    into `out`.

    Args:
        features: folder with the features of `target`; clips: clip store; train, test: split files.

    Raises:
        InputError: unknown protocol or option, a missing or inconsistent file, or scores of another shape.
    """
    key = f"protocols.{settings.name}"
    stage, own = plugins.module_of("protocols", settings.name, key), plugins.load("protocols", settings.name, key)
    options = validate(own.Options, settings.options, f"protocols.{settings.name}", "options")
    task = Task.of(ClipStore.open(clips), train, test, target)
    inputs = {"clips": Path(clips) / "clips.csv", "train": train, "test": test}
    inputs |= {f"{part}_encoder": feature_file(features, target, part, "encoder") for part in PARTS}
    with recording(out, f"{__name__}+{stage}", settings.model_dump(mode="json"), present(inputs), RESULT_FILES):
        train_nc, test_mc = (read_features(features, task, part, "encoder") for part in PARTS)
        ranking = rank(_checked(own.classify(train_nc, task.train_labels, test_mc, options), task, settings.name))
        write_result(out, settings.name, task, task.test_rows, [ranking], [score(ranking, task)])


def _checked(scores: Any, task: Task, name: str) -> np.ndarray:
    scores, expected = np.asarray(scores), (len(task.test_rows), task.classes)
    if scores.shape != expected or not np.isfinite(scores).all():
        raise InputError(
            f"protocols.{name}: classify must give finite scores of shape {expected}, found {scores.shape}: correct its"
            " file"
        )
    return scores
