"""Few-shot protocol: test clips of novel classes get the label that most of the nearest labelled clips have (paper
§4.3, Table 5).

The paper's "n-shot" has two readings. `exemplars`: n labelled clips of each class are drawn, and n neighbours among
them vote. Ties, such as every vote of two different labels, go to the class with the smaller summed cosine distance.
`neighbours`: n neighbours among all training clips of the novel classes vote.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from pydantic import Field

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

Draws = Mapping[tuple[int, int], Task]


class FewShotStage(Settings):
    """Settings of the protocol; `data` is the data set's name, `novel` are action numbers, `outputs` are those that
    the method has.
    """

    data: str
    novel: tuple[int, ...] = Field(min_length=1)
    few_shot: Shots
    outputs: tuple[Output, ...]


@dataclass(frozen=True)
class Variant:
    """One entry of metrics.json's `results`.

    Attributes:
        facts: its keys, `output` and `reading` among them.
        task: its labelled clips (the first draw's) and its test clips.
        rankings: array of predictions.npz → (test clips, ≤ 5), one per draw.
    """

    facts: Mapping[str, str | int]
    task: Task
    rankings: Mapping[str, np.ndarray]


def few_shot(
    features: Path,
    target: str,
    clips: Path,
    train: Path,
    test: Path,
    out: Path,
    settings: FewShotStage,
    exemplars: Path | None = None,
) -> None:
    """Run the protocol; write metrics.json, predictions.npz and record.json into `out`.

    The headline is the first output of `few_shot.outputs` that the method has, with the first number of shots in the
    first reading; for exemplars, the mean over draws. predictions.npz contains `predicted_shots{N}_draw{D}` and
    `predicted_neighbours_k{N}` of that output.

    Args:
        features: folder with the feature files of `target`; clips: clip store; train, test: split files. Test clips of
            the novel classes are scored.
        exemplars: folder with the files {shots}_{draw}.npy, rows of clips.csv, of the novel classes; for the reading
            `exemplars`.

    Raises:
        InputError: a file is missing or does not fit the others, features are not finite, or there are fewer training
            clips than shots.
    """
    options = settings.few_shot
    outputs = compared("few_shot", options.outputs, settings.outputs)
    files = _exemplar_files(exemplars, options)
    inputs = {"clips": Path(clips) / "clips.csv", "train": train, "test": test}
    inputs |= feature_files(features, target, outputs)
    inputs |= {f"exemplars_{shots}_{draw}": path for (shots, draw), path in files.items()}
    with recording(out, STAGE, settings.model_dump(mode="json"), present(inputs), RESULT_FILES):
        store = ClipStore.open(clips)
        split = Task.of(store, train, test, target)
        novel = replace(novel_task(split, store, settings.novel), data=settings.data)
        draws = {key: _exemplar_task(novel, path, train) for key, path in files.items()}
        if "neighbours" in options.readings and max(options.shots) > len(novel.train_rows):
            have = f"{train} has only {len(novel.train_rows)} training clips of the novel classes"
            raise InputError(
                f"few_shot.shots asks for {max(options.shots)} neighbours, but {have}: lower few_shot.shots"
            )
        found = [variant for output in outputs for variant in _variants(features, output, split, novel, draws, options)]
        found.sort(key=lambda variant: options.readings.index(variant.facts["reading"]))
        results = [_entry(variant) for variant in found]
        kept = [variant.rankings for variant in found if variant.facts["output"] == outputs[0]]
        predicted = {array: ranking[:, 0] for rankings in kept for array, ranking in rankings.items()}
        head = found[0]
        write_result(out, "few_shot", head.task, novel.test_rows, list(head.rankings.values()), results, predicted)


def novel_task(split: Task, store: ClipStore, novel: tuple[int, ...]) -> Task:
    """All clips of the novel classes; InputError if the test clips have none of these actions."""
    classes = np.unique(split.labels[np.isin(store.table["action"].to_numpy(), novel)])
    learns, scored = (rows[np.isin(split.labels[rows], classes)] for rows in (split.train_rows, split.test_rows))
    if not scored.size:
        raise InputError(
            f"the split has no test clips of the novel actions {', '.join(map(str, novel))}: choose another data set"
            " for few-shot"
        )
    names = {label: split.class_names[label] for label in classes.tolist()}
    return replace(split, train_rows=learns, test_rows=scored, class_names=names)


def _exemplar_files(folder: Path | None, options: Shots) -> dict[tuple[int, int], Path]:
    """(shots, draw) → file; empty if no reading uses exemplars."""
    if "exemplars" not in options.readings:
        return {}
    if folder is None:
        raise InputError("few_shot.readings contains exemplars: name their folder with --exemplars")
    return {
        (shots, draw): Path(folder) / f"{shots}_{draw}.npy" for shots in options.shots for draw in range(options.draws)
    }


def _exemplar_task(novel: Task, exemplars: Path, train: Path) -> Task:
    """The task of one draw."""
    rows = read_rows(exemplars, len(novel.names))
    if not np.isin(rows, novel.train_rows).all():
        raise InputError(
            f"{exemplars} has clips that are not training clips in {train} or not of a novel class: draw the exemplars"
            " again"
        )
    if set(novel.labels[rows].tolist()) != set(novel.class_names):
        raise InputError(f"{exemplars} lacks clips of a novel class: draw the exemplars again")
    return replace(novel, train_rows=rows)


def _variants(
    features: Path, output: Compared, split: Task, novel: Task, draws: Draws, options: Shots
) -> Iterator[Variant]:
    """Every reading and number of shots for one output."""
    train, test = read_compared(features, split, output)
    queries = test[np.searchsorted(split.test_rows, novel.test_rows)]
    if "exemplars" in options.readings:
        ranked = {
            key: _by_exemplars(queries, train[np.searchsorted(split.train_rows, one.train_rows)], one, key[0])
            for key, one in draws.items()
        }
        for shots in options.shots:
            runs = {f"predicted_shots{shots}_draw{draw}": ranked[shots, draw] for draw in range(options.draws)}
            yield Variant({"output": output, "reading": "exemplars", "shots": shots}, draws[shots, 0], runs)
    if "neighbours" in options.readings:
        references = train[np.searchsorted(split.train_rows, novel.train_rows)]
        nearest = neighbours(queries, references, novel.train_labels, max(options.shots))
        for k in options.shots:
            runs = {f"predicted_neighbours_k{k}": vote(nearest, k, novel.classes, options.ties)}
            yield Variant({"output": output, "reading": "neighbours", "k": k}, novel, runs)


def _by_exemplars(queries: np.ndarray, references: np.ndarray, task: Task, shots: int) -> np.ndarray:
    """Rankings (test clips, ≤ 5) of one draw."""
    return vote(neighbours(queries, references, task.train_labels, shots), shots, task.classes)


def _entry(variant: Variant) -> dict[str, object]:
    scores = [score(ranking, variant.task) for ranking in variant.rankings.values()]
    return {**variant.facts, "train_clips": len(variant.task.train_rows), **over_runs(scores)}
