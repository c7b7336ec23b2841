"""Repeats KNN evaluations from the features in a results folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from stars.audit.predictions import PREDICTIONS
from stars.config.reading import validate
from stars.data.jointless import open_store
from stars.errors import InputError
from stars.evaluation.knn import KnnStage, compared, neighbours, vote
from stars.evaluation.metrics import Task, score
from stars.evaluation.rescale import read_compared
from stars.provenance.files import read_json, read_npz
from stars.provenance.ledger import METRICS
from stars.provenance.lineage import Record, renamed

STAGE = "stars.evaluation.knn"


def lacking(record: Record, project: Path) -> list[Path]:
    """Missing inputs of an evaluation, such as joints omitted from an archive."""
    return [path for path in record.inputs if not (project / path).is_file()]


def differing(record: Record, project: Path) -> Iterator[str]:
    """One phrase for every number and prediction of a KNN evaluation that differs when repeated."""
    folder = record.path.parent
    try:
        settings = validate(KnnStage, record.told["settings"], str(record.path))
        files = {
            role: project / renamed(entry["path"], record.results) for role, entry in record.told["inputs"].items()
        }
        metrics = read_json(project / folder / METRICS)
        task = Task.of(open_store(files["clips"].parent), files["train"], files["test"], metrics["data"])
        yield from _rankings(settings, task, _features(files), metrics, project / folder / PREDICTIONS, folder)
    except (InputError, KeyError, TypeError, ValueError) as error:
        yield f"{folder}: cannot be repeated: {error}"


def _features(files: dict[str, Path]) -> Path:
    """The folder of the features among a record's files."""
    return next(path.parent for role, path in files.items() if role not in ("clips", "train", "test"))


def _rankings(
    settings: KnnStage, task: Task, features: Path, metrics: dict[str, Any], predictions: Path, folder: Path
) -> Iterator[str]:
    outputs, k = compared("knn", settings.knn.outputs, settings.outputs), settings.knn.k
    kept = read_npz(predictions, ("top5", *(f"predicted_k{one}" for one in k)))
    said = {(entry["output"], entry["k"]): entry for entry in metrics["results"]}
    for output in outputs:
        train, test = read_compared(features, task, output)
        nearest = neighbours(test, train, task.train_labels, max(k))
        for one in k:
            ranking = vote(nearest, one, task.classes, settings.knn.ties)
            again = score(ranking, task)
            if differs := [name for name, value in again.items() if said[output, one].get(name) != value]:
                name = differs[0]
                yield (
                    f"{folder / METRICS} says {name} {said[output, one].get(name)} of {output}, K = {one}; run again it"
                    f" is {again[name]}"
                )
            if output == outputs[0] and not np.array_equal(kept[f"predicted_k{one}"], ranking[:, 0]):
                yield f"{folder / PREDICTIONS}: run again, predictions with K = {one} differ"
