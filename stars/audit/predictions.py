"""Checks an evaluation's numbers against its predictions, and these against the split's clips."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from stars.data.jointless import open_store
from stars.errors import InputError
from stars.evaluation.metrics import over_runs, per_class, read_rows, top1, top5
from stars.evaluation.statistics import interval95
from stars.provenance.files import read_json, read_npz
from stars.provenance.ledger import METRICS
from stars.provenance.lineage import Record

PREDICTIONS = "predictions.npz"
HEADLINE = ("top1", "std", "interval95", "per_class")


def repetitions(metrics: Mapping[str, Any]) -> list[str]:
    """Arrays of predictions.npz behind the headline."""
    if metrics["protocol"] == "semi":
        return [f"predicted_subset{number}" for number in range(metrics["runs"])]
    # otherwise the reading `neighbours`, measured once
    if metrics["protocol"] == "few_shot" and "shots" in metrics["results"][0]:
        return [f"predicted_shots{metrics['results'][0]['shots']}_draw{draw}" for draw in range(metrics["runs"])]
    return ["predicted"]


def differing(record: Record, project: Path) -> Iterator[str]:
    """One phrase for each difference between an evaluation's metrics.json and its predictions, clips and split."""
    folder = record.path.parent
    try:
        metrics = read_json(project / folder / METRICS)
        behind = _behind(metrics)
        found = read_npz(
            project / folder / PREDICTIONS,
            ("name", "label", "top5", *{name for names in behind.values() for name in names}),
        )
        yield from _other_clips(record, project, found, metrics["protocol"])
        yield from (f"{folder / METRICS} says {words}" for words in _other_numbers(metrics, behind, found))
    except (InputError, KeyError, TypeError, ValueError, IndexError) as error:
        yield f"{folder}: its numbers cannot be recomputed: {error}"


def _behind(metrics: Mapping[str, Any]) -> dict[int, list[str]]:
    """Index in `results` → arrays of predictions behind the entry; −1: the headline. Entries without arrays are
    omitted.
    """
    arrays, first = {-1: repetitions(metrics)}, metrics["results"][0]
    for place, entry in enumerate(metrics["results"]):
        if entry.get("output") != first.get("output"):
            continue
        if metrics["protocol"] == "knn":
            arrays[place] = [f"predicted_k{entry['k']}"]
        elif metrics["protocol"] == "few_shot":
            shots = [f"predicted_shots{entry.get('shots')}_draw{draw}" for draw in range(len(entry["values"]))]
            arrays[place] = shots if "shots" in entry else [f"predicted_neighbours_k{entry['k']}"]
    arrays.setdefault(0, arrays[-1])
    return arrays


def _other_clips(record: Record, project: Path, found: Mapping[str, np.ndarray], protocol: str) -> Iterator[str]:
    """Predictions for other clips than the split's test clips, or with other labels."""
    where = record.path.parent / PREDICTIONS
    paths = {role: project / path for role, path in zip(record.told["inputs"], _inputs(record), strict=True)}
    store = open_store(paths["clips"].parent)
    rows = read_rows(paths["test"], len(store))
    names = np.array(store.names)[rows]
    # only clips of novel actions
    scored = np.isin(names, found["name"]) if protocol == "few_shot" else np.ones(len(rows), bool)
    if not np.array_equal(names[scored], found["name"]):
        yield f"{where} is not of the test clips of its split"
    elif wrong := int((store.labels[rows][scored] != found["label"]).sum()):
        yield f"{where} gives {wrong} of its clips another action than {record.told['inputs']['clips']['path']}"


def _inputs(record: Record) -> list[Path]:
    return [record.results.joinpath(*Path(entry["path"]).parts[1:]) for entry in record.told["inputs"].values()]


def _other_numbers(
    metrics: Mapping[str, Any], behind: Mapping[int, list[str]], found: Mapping[str, np.ndarray]
) -> Iterator[str]:
    labels = found["label"]
    for place, arrays in behind.items():
        scores = [{"top1": top1(found[array][:, None], labels), "top5": 0.0} for array in arrays]
        again, said = over_runs(scores), metrics if place < 0 else metrics["results"][place]
        if place < 0:
            right = np.stack([found[array] == labels for array in arrays], axis=1)
            names = dict(zip(np.unique(labels).tolist(), metrics["per_class"], strict=True))
            again |= {"interval95": interval95(right), "per_class": per_class(right, labels, names)}
            if metrics["runs"] == 1:
                again["top5"] = top5(found["top5"], labels)
        what = "" if place < 0 else f" of its result {place + 1}"
        for name in HEADLINE if metrics["runs"] > 1 else (*HEADLINE, "top5"):
            if name in said and name in again and (place < 0 or name in ("top1", "std")) and said[name] != again[name]:
                shown = "otherwise than" if isinstance(said[name], dict) else f"{said[name]}, not {again[name]} as"
                yield f"{name}{what} {shown} its predictions"
