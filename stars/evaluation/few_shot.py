"""Few-shot protocol: test clips of novel classes take the label that the nearest of a few labelled clips vote for (paper §4.3, Table 5).

With n labelled clips of each class, n neighbours vote. A tied vote goes to the class with the smaller summed cosine distance: with n = 2
every vote of two different labels is one.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from stars.config import Settings, Shots
from stars.config.evaluation import Compared
from stars.data.store import ClipStore
from stars.errors import InputError
from stars.evaluation.features import Output
from stars.evaluation.knn import compared, neighbours, vote
from stars.evaluation.metrics import RESULT_FILES, Task, over_runs, present, read_rows, score, write_result
from stars.evaluation.rescale import feature_files, read_compared
from stars.provenance.record import recording

STAGE = "stars.evaluation.few_shot"


class FewShotStage(Settings):
    """Everything the protocol is told; `data` is the data set's name, `outputs` are those the method has."""

    data: str
    few_shot: Shots
    outputs: tuple[Output, ...]


def few_shot(features: Path, target: str, clips: Path, train: Path, test: Path, exemplars: Path, out: Path, settings: FewShotStage) -> None:
    """Run the protocol; write metrics.json, predictions.npz and record.json into `out`.

    The headline is the mean over draws of the first output of `few_shot.outputs` that the method has, with the first number of shots.
    predictions.npz holds `predicted_shots{N}_draw{D}` of that output.

    Args:
        features: folder with the feature files of `target`; clips: clip store; train, test: split files.
        exemplars: folder with the files {shots}_{draw}.npy, rows of clips.csv; their classes are the novel ones, and the test clips of
            these are scored.

    Raises:
        InputError: a file is missing or does not fit the others, or features are not finite.
    """
    options = settings.few_shot
    outputs = compared("few_shot", options.outputs, settings.outputs)
    drawn = {(shots, draw): Path(exemplars) / f"{shots}_{draw}.npy" for shots in options.shots for draw in range(options.draws)}
    inputs = {"clips": Path(clips) / "clips.csv", "train": train, "test": test}
    inputs |= feature_files(features, target, outputs)
    inputs |= {f"exemplars_{shots}_{draw}": path for (shots, draw), path in drawn.items()}
    with recording(out, STAGE, settings.model_dump(mode="json"), present(inputs), RESULT_FILES):
        store = ClipStore.open(clips)
        split = Task.of(store, train, test, target)
        tasks = {key: novel_task(replace(split, data=settings.data), path, train) for key, path in drawn.items()}
        first = tasks[options.shots[0], 0]
        assert all(np.array_equal(task.test_rows, first.test_rows) for task in tasks.values()), "every draw is scored on the same clips"
        ranked = {(output, *key): rankings for output in outputs for key, rankings in _ranked(features, output, split, tasks).items()}
        runs = {
            (output, shots): [ranked[output, shots, draw] for draw in range(options.draws)] for output in outputs for shots in options.shots
        }
        results = [
            {"output": output, "shots": shots, **over_runs([score(ranking, first) for ranking in rankings])}
            for (output, shots), rankings in runs.items()
        ]
        predicted = {f"predicted_shots{shots}_draw{draw}": ranked[outputs[0], shots, draw][:, 0] for shots, draw in tasks}
        write_result(out, "few_shot", first, first.test_rows, runs[outputs[0], options.shots[0]], results, predicted)


def novel_task(split: Task, exemplars: Path, train: Path) -> Task:
    """The task of one draw: its exemplars, and all test clips of their classes."""
    rows = read_rows(exemplars, len(split.names))
    if not np.isin(rows, split.train_rows).all():
        raise InputError(f"{exemplars} has clips that do not train in {train}: draw the exemplars again")
    classes = np.unique(split.labels[rows])
    scored = split.test_rows[np.isin(split.test_labels, classes)]
    names = {label: split.class_names[label] for label in classes.tolist()}
    return replace(split, train_rows=rows, test_rows=scored, class_names=names)


def _ranked(features: Path, output: Compared, split: Task, tasks: dict[tuple[int, int], Task]) -> dict[tuple[int, int], np.ndarray]:
    """(shots, draw) → rankings (test clips, ≤ 5) by one output."""
    train, test = read_compared(features, split, output)
    found = {}
    for (shots, draw), task in tasks.items():
        queries = test[np.searchsorted(split.test_rows, task.test_rows)]
        references = train[np.searchsorted(split.train_rows, task.train_rows)]
        found[shots, draw] = vote(neighbours(queries, references, task.train_labels, shots), shots, task.classes)
    return found
