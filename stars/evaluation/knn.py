"""KNN protocol: a test clip gets the label that most of its nearest training clips have (paper §4.3; k = 1 in Table 2,
k = 10 in Tables 6 and 7).

The search is exact: matrix products in float32 find candidates, which are compared in float64; a query whose candidates
float32's error bound cannot separate from the rest is compared with every reference in float64.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from stars.config import Knn, Settings
from stars.config.evaluation import Compared, Ties
from stars.data.store import ClipStore
from stars.errors import InputError
from stars.evaluation import clusters
from stars.evaluation.features import Output
from stars.evaluation.metrics import RESULT_FILES, TOP, Task, present, score, write_result
from stars.evaluation.rescale import feature_files, read_compared, source
from stars.provenance.record import recording

MARGIN = 16  # candidates beyond k: enough that near-ties at the k-th place rarely need the full comparison
CHUNK = 1 << 27  # bytes in memory at once: similarities, or candidates
DECIMALS = 12  # float64 similarities that agree to this precision are equal, so copies of a clip tie


class KnnStage(Settings):
    """Settings of the protocol; `outputs` are those that the method has."""

    knn: Knn
    outputs: tuple[Output, ...]


class Neighbours(NamedTuple):
    """The nearest references of each query, nearest first: labels (Q, k) int64 and cosine similarities (Q, k)
    float64.
    """

    labels: Tensor
    similarity: Tensor


def evaluate(features: Path, target: str, clips: Path, train: Path, test: Path, out: Path, settings: KnnStage) -> None:
    """Run the protocol; write metrics.json, predictions.npz and record.json into `out`.

    The headline is the first output of `knn.outputs` that the method has, with the first k; predictions.npz contains
    `predicted_k{K}` of that output for every k. Both also contain measures of the test clips' clusters
    (`stars.evaluation.clusters`).

    Args:
        features: folder with the features of `target`; clips: clip store; train, test: split files.

    Raises:
        InputError: a feature file is missing, does not fit the split or is not finite; k exceeds the training clips.
    """
    store = ClipStore.open(clips)
    task = Task.of(store, train, test, target)
    outputs = compared("knn", settings.knn.outputs, settings.outputs)
    most, available = max(settings.knn.k), len(task.train_rows)
    if most > available:
        raise InputError(
            f"knn.k asks for {most} neighbours, but {train} has only {available} training clips: lower knn.k"
        )
    inputs = {"clips": Path(clips) / "clips.csv", "train": train, "test": test}
    inputs |= feature_files(features, target, outputs)
    with recording(out, "stars.evaluation.knn", settings.model_dump(mode="json"), present(inputs), RESULT_FILES):
        rankings = {
            (output, k): ranking
            for output in outputs
            for k, ranking in _rankings(features, output, task, settings.knn).items()
        }
        results = [{"output": output, "k": k, **score(ranking, task)} for (output, k), ranking in rankings.items()]
        predicted = {f"predicted_k{k}": rankings[outputs[0], k][:, 0] for k in settings.knn.k}
        measures, measured = _clusters(features, outputs[0], task, store)
        headline = rankings[outputs[0], settings.knn.k[0]]
        write_result(
            out, "knn", task, task.test_rows, [headline], results, {**predicted, **measured}, {"clusters": measures}
        )


def _clusters(
    features: Path, output: Compared, task: Task, store: ClipStore
) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """Measures of the test clips' clusters, overall and per clip; empty if they are undefined."""
    if not clusters.describable(task.test_labels):
        return {}, {}
    facts = {name: store.table[name].to_numpy()[task.test_rows] for name in clusters.SHARED}
    return clusters.describe(read_compared(features, task, output)[1], task.test_labels, facts)


def compared(block: str, asked: Sequence[Compared], had: Sequence[Output]) -> list[Compared]:
    """The outputs requested in the configuration's `block` that a method has; InputError if there are none."""
    found = [output for output in asked if source(output) in had]
    if not found:
        raise InputError(f"{block}.outputs contains none of this method's outputs: add one of {', '.join(had)}")
    return found


def _rankings(features: Path, output: Compared, task: Task, options: Knn) -> dict[int, np.ndarray]:
    """Class rankings (test clips, 5) of one output for each k, from one search."""
    train, test = read_compared(features, task, output)
    nearest = neighbours(test, train, task.train_labels, max(options.k))
    return {k: vote(nearest, k, task.classes, options.ties) for k in options.k}


def neighbours(queries: np.ndarray, references: np.ndarray, labels: np.ndarray, k: int) -> Neighbours:
    """Exact k nearest references by cosine similarity; ties go to the lowest label.

    A zero vector has similarity 0 to everything.

    Args:
        queries: (Q, C) finite; references: (R, C) finite; labels: (R,) int64 of the references; k: at most R.
    """
    order = np.argsort(labels, kind="stable")  # from here on, a lower index means a lower label in ties
    exact, sorted_labels = _unit(references[order]), torch.from_numpy(labels[order])
    rough = exact.float()
    candidates = 8 * min(k + MARGIN, len(exact)) * exact.shape[1]  # bytes per query
    most = min(_rows(len(exact) * 4), _rows(candidates), len(queries))
    room = torch.empty(most, len(exact))  # reused: fresh memory costs as much as the products
    parts = [_search(_unit(part), exact, rough, k, room[: len(part)]) for part in _split(queries, len(room))]
    places, similarity = (torch.cat(found) for found in zip(*parts, strict=True))
    return Neighbours(sorted_labels[places], similarity)


def _search(queries: Tensor, exact: Tensor, rough: Tensor, k: int, room: Tensor) -> tuple[Tensor, Tensor]:
    """Indices and similarities (Q, k) of the nearest rows of `exact`, float64; `rough` is its float32 copy, `room`
    (Q, R) float32.
    """
    wide = min(k + MARGIN, len(exact))
    values, candidates = torch.topk(torch.mm(queries.float(), rough.T, out=room), wide)
    candidates = candidates.sort(dim=1).values
    # Products and sums row by row give bit-equal similarities for equal references, which a matrix product does not
    # guarantee.
    columns, similarity = _first((exact[candidates] * queries[:, None]).sum(dim=2), k)
    places = candidates.gather(1, columns)
    # |float32 − exact| ≤ (C + 3) · 2⁻²⁴ for unit vectors; twice that separates candidates from the rest.
    unsure = values[:, -1] >= values[:, k - 1] - 2 * (exact.shape[1] + 3) * 2**-24
    if wide < len(exact) and unsure.any():
        found = [_first(part @ exact.T, k) for part in queries[unsure].split(_rows(len(exact) * 32))]
        places[unsure], similarity[unsure] = (torch.cat(part) for part in zip(*found, strict=True))
    return places, similarity


def _first(similarity: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Columns and values of the k largest of each row, largest first, ties by column."""
    values, columns = similarity.round(decimals=DECIMALS).sort(dim=1, descending=True, stable=True)
    return columns[:, :k].clone(), values[:, :k].clone()


def vote(nearest: Neighbours, k: int, classes: int, ties: Ties = "similarity") -> np.ndarray:
    """Classes by votes of the first k neighbours, best first, (Q, ≤ 5) int64, padded with −1.

    Ties of votes go to the class with the larger summed similarity, then to the lowest label; with `ties` "label" to
    the lowest label.
    """
    labels, similarity = nearest.labels[:, :k], nearest.similarity[:, :k]
    empty = torch.zeros(len(labels), classes, dtype=torch.float64)
    votes = empty.scatter_add(1, labels, torch.ones_like(similarity))
    sums = empty.scatter_add(1, labels, similarity) if ties == "similarity" else empty
    order = sums.sort(dim=1, descending=True, stable=True).indices
    order = order.gather(1, votes.gather(1, order).sort(dim=1, descending=True, stable=True).indices)[:, :TOP]
    return order.masked_fill(votes.gather(1, order) == 0, -1).numpy()


def _unit(rows: np.ndarray) -> Tensor:
    return torch.nn.functional.normalize(torch.from_numpy(np.asarray(rows, np.float64)), dim=1)


def _rows(bytes_a_row: int) -> int:
    return max(1, CHUNK // bytes_a_row)


def _split(queries: np.ndarray, size: int) -> list[np.ndarray]:
    return [queries[start : start + size] for start in range(0, len(queries), size)]
