"""The explorer's data: positions of test clips on each method's map, predictions, and clips to play."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from stars.config import Settings, key
from stars.data.dataset import Dataset
from stars.data.jointless import has_joints, open_store
from stars.errors import InputError
from stars.inspect.skeleton import Skeleton
from stars.provenance.files import read_json, read_npy, read_npz
from stars.report.clips import pack
from stars.report.lineage import Graph

KINDS = ("tsne", "pca")
TEXT = {"name": str, "neighbours": str, "cosines": str}


class Panel(Settings):
    """One method."""

    method: str = key(..., "method's key")
    title: str = key(..., "its name")


class Explorer(Settings):
    """The methods compared on one split."""

    data: str = key(..., "data set's key")
    split: str = key(..., "split's key")
    data_title: str = key(..., "data set's name")
    split_title: str = key(..., "split's name")
    k: int = key(..., "neighbours of the predictions shown", ge=1)
    methods: tuple[Panel, ...] = key(..., "methods, in order", min_length=1)
    first: str = key(..., "method shown first")
    first_title: str = key(..., "its name")

    @property
    def run(self) -> str:
        """Folder of the runs, as in file roles."""
        return f"{self.data}_{self.split}"


def explorer(
    settings: Explorer, files: Mapping[str, Path], dataset: Dataset, most: int, graph: Graph
) -> dict[str, Any]:
    """Plain data of one explorer, with at most `most` playable clips.

    Raises:
        InputError: maps or predictions do not match the clip store and split.
    """
    folder = files[f"{settings.data}/offsets.npy"].parent
    store = open_store(folder)
    maps = [_map(files[f"{settings.run}/{panel.method}/map"]) for panel in settings.methods]
    names = maps[0]["name"].tolist()
    rows = pd.Index(store.names).get_indexer(names)
    if (rows < 0).any() or any(table["name"].tolist() != names for table in maps):
        raise InputError(
            f"{files[f'{settings.run}/{settings.methods[0].method}/map']}: its clips differ from the other maps': map"
            " again"
        )
    labels = sorted(store.class_names)
    methods = [
        _method(settings, panel, table, files, labels, graph)
        for panel, table in zip(settings.methods, maps, strict=True)
    ]
    align(methods)
    shown = next(index for index, panel in enumerate(settings.methods) if panel.method == settings.first)
    truth = np.searchsorted(labels, store.labels[rows])
    played = chosen(truth, np.array(methods[shown]["predicted"]), most if has_joints(folder) else 0)
    table = store.table.iloc[rows]
    return {
        "title": f"{settings.data_title}, {settings.split_title}",
        "run": settings.run,
        "k": settings.k,
        "tested": len(read_npy(files[f"{settings.run}/test"])),
        "fps": dataset.fps,
        "classes": [store.class_names[label] for label in labels],
        "names": names,
        "action": truth.tolist(),
        **{column: table[column].tolist() for column in ("subject", "camera", "setup", "frames")},
        "clip": (
            np.where(np.isin(np.arange(len(rows)), played), np.searchsorted(played, np.arange(len(rows))), -1).tolist()
        ),
        "clips": pack(store, rows[played], Skeleton.of(dataset), dataset.fps),
        "methods": methods,
        "shown": shown,
    }


def _map(path: Path) -> pd.DataFrame:
    try:
        table = pd.read_csv(path, dtype=TEXT, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is not a readable map ({' '.join(str(error).split())}): map again") from None
    if lacking := {*TEXT, *(f"{kind}_{axis}" for kind in KINDS for axis in "xy")} - {*table}:
        raise InputError(f"{path} has no column {min(lacking)}: map again")
    return table


def _method(
    settings: Explorer, panel: Panel, table: pd.DataFrame, files: Mapping[str, Path], labels: list[int], graph: Graph
) -> dict[str, Any]:
    role, column = f"{settings.run}/{panel.method}", f"predicted_k{settings.k}"
    found = read_npz(files[f"{role}/predictions"], ("name", "label", column))
    at = pd.Index(found["name"]).get_indexer(table["name"])
    if (at < 0).any():
        raise InputError(
            f"{files[f'{role}/predictions']} lacks clip {table['name'][int((at < 0).argmax())]}: run the KNN protocol"
            " again"
        )
    true, predicted = (np.searchsorted(labels, found[name]) for name in ("label", column))
    metrics = read_json(files[f"{role}/metrics"])
    scores = metrics["results"]
    top1 = next(
        one["top1"] for one in scores if one.get("output", "encoder") == "encoder" and one.get("k") == settings.k
    )
    return {
        "title": panel.title,
        "top1": round(top1, 2),
        "clusters": metrics.get("clusters", {}),
        "from": graph.numbers([files[f"{role}/metrics"]]),
        "mapped": graph.numbers([files[f"{role}/map"]]),
        "guessed": graph.numbers([files[f"{role}/predictions"]]),
        "predicted": predicted[at].tolist(),
        "confusion": np.bincount(true * len(labels) + predicted, minlength=len(labels) ** 2).tolist(),
        "neighbours": [[int(number) for number in line.split()] for line in table["neighbours"]],
        "cosines": [[round(float(number), 3) for number in line.split()] for line in table["cosines"]],
        **{kind: table[[f"{kind}_x", f"{kind}_y"]].to_numpy(float) for kind in KINDS},
    }


def square(xy: np.ndarray) -> np.ndarray:
    """Centre points (N, 2) on their bounding box and scale the largest coordinate to 1."""
    centred = xy - (xy.min(axis=0) + xy.max(axis=0)) / 2
    return centred / max(float(np.abs(centred).max()), 1e-12)


def align(methods: list[dict[str, Any]]) -> None:
    """Rotate and mirror maps: the first to be wide, each other to match the previous one (orthogonal Procrustes), so
    that switching methods shows only real changes. Converts points to rounded lists.
    """
    for kind in KINDS:
        centred = [method[kind] - method[kind].mean(axis=0) for method in methods]
        goal = centred[0] @ np.linalg.svd(centred[0], full_matrices=False)[2].T
        for method, points in zip(methods, centred, strict=True):
            left, _, right = np.linalg.svd(points.T @ goal)
            goal = points @ left @ right
            method[kind] = square(goal)
        for method in methods:
            method[kind] = method[kind].round(4).ravel().tolist()


def chosen(truth: np.ndarray, predicted: np.ndarray, most: int) -> np.ndarray:
    """At most `most` ascending indices; every cell of the confusion matrix gets one clip before any gets a second."""
    cells = pd.Series(list(zip(truth.tolist(), predicted.tolist(), strict=True)))
    return np.sort(np.argsort(cells.groupby(cells).cumcount().to_numpy(), kind="stable")[:most])
