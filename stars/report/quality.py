"""Data quality in the report: counts beside the complete data set's, dropped files, suspicious clips."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stars.data.dataset import Dataset
from stars.data.jointless import open_store
from stars.inspect import content
from stars.provenance.files import read_json
from stars.report.lineage import Graph


def quality(name: str, dataset: Dataset, files: Mapping[str, Path], graph: Graph) -> dict[str, Any]:
    """Context of one data set for the template."""
    store, facts = open_store(files[f"{name}/offsets.npy"].parent), read_json(files[f"{name}/quality.json"])
    with files[f"{name}/suspicious.csv"].open(encoding="utf-8", newline="") as file:
        suspicious = list(csv.DictReader(file))
    clips = {line["name"]: line for line in reversed(suspicious)}  # keeps the worst reason of each
    hours = len(store.frames) / dataset.fps / 3600
    tiles = [
        ("clips", f"{len(store):,}", f"of {dataset.clips:,}" if dataset.clips else ""),
        ("classes", str(len(store.class_names)), f"of {len(dataset.actions)} described"),
        ("people", str(store.table["subject"].nunique()), ""),
        ("cameras", str(store.table["camera"].nunique()), ""),
        ("length", f"{hours:.1f} h" if hours > 2 else f"{60 * hours:.0f} min", f"{len(store.frames):,} frames"),
        ("dropped files", f"{len(facts['dropped']):,}", ""),
        ("suspicious clips", f"{len(clips):,}", ", ".join(f"{kind} {count}" for kind, count in _kinds(clips).items())),
    ]
    return {
        "title": dataset.title,
        "page": f"../{name}/quality/index.html",
        "tiles": tiles,
        "from": graph.numbers([files[f"{name}/quality.json"]]),
        "judged": graph.numbers([files[f"{name}/suspicious.csv"]]),
        "explanation": (facts.get("complete") or {}).get("explanation", []),
        "charts": [*content.counts(store, dataset)["counts"][:1], content.lengths(store, dataset)],
        "dropped": content.dropped(facts["dropped"]),
        "suspicious": list(clips.values())[::-1][:8],
    }


def _kinds(clips: Mapping[str, Mapping[str, str]]) -> Counter[str]:
    return Counter(line["kind"] for line in clips.values())
