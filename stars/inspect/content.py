"""Content of the quality page, section by section, as plain data for the template."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pandas as pd

from stars.data.dataset import Dataset
from stars.data.readers import UNKNOWN
from stars.data.store import ClipStore
from stars.inspect import charts
from stars.inspect.measures import Measures

BIN = 10  # frames per bar
MOST_FILES = 50  # files listed under one reason


@dataclass(frozen=True)
class Tile:
    """A number at the head of the page; differs: it differs from the complete data set."""

    label: str
    value: str
    note: str = ""
    differs: bool = False


def tiles(store: ClipStore, dataset: Dataset, measures: Measures, sides: Mapping[tuple[str, str], int]) -> list[Tile]:
    """Totals next to those of the complete data set, if its description has them; sides: (split, train or test) →
    clips.
    """
    seconds, classes = len(store.frames) / dataset.fps, len(store.class_names)
    found = [_expected("Clips", len(store), dataset.clips)]
    for (name, side), count in sides.items():
        split = dataset.splits[name]
        found.append(
            _expected(f"{split.title}, {side}", count, split.counts and split.counts[("train", "test").index(side)])
        )
    return [
        *found,
        Tile(
            "Frames",
            f"{len(store.frames):,}",
            f"{seconds / 3600:.1f} hours" if seconds > 7200 else f"{seconds / 60:.1f} minutes",
        ),
        Tile("Classes", str(classes), f"of {len(dataset.actions)}", classes < len(dataset.actions)),
        Tile("Height of a body", f"{np.median(measures.column('height')):.2f} m", f"median, along {dataset.up}"),
    ]


def _expected(label: str, count: int, wanted: int | None) -> Tile:
    if wanted is None:
        return Tile(label, f"{count:,}")
    return Tile(
        label, f"{count:,}", "complete" if count == wanted else f"the complete data set has {wanted:,}", count != wanted
    )


def counts(store: ClipStore, dataset: Dataset) -> dict[str, Any]:
    """Bars of classes, subjects, cameras and setups; a sentence for those with one value."""
    actions = {number: f"{number} {name}" for number, name in sorted(dataset.actions.items())}
    drawn, single = [charts.counts("Clips of each class", store.table["action"], actions)], []
    for column, known in (("subject", dataset.subjects), ("camera", None), ("setup", dataset.setups)):
        if (store.table[column] == UNKNOWN).all():
            single.append(f"{column} unknown")
            continue
        names = {int(value): str(value) for value in sorted({*(known or ()), *store.table[column]})}
        if len(names) > 1:
            drawn.append(charts.counts(f"Clips of each {column}", store.table[column], names, short=True))
        else:
            single.append(f"one {column}")
    return {"counts": drawn, "single": ", ".join(single).capitalize()}


def known_numbers(row: pd.Series) -> list[str]:
    """The known numbers of a row's clip, such as "subject 3", "camera 1", "setup 2"."""
    return [f"{column} {row[column]}" for column in ("subject", "camera", "setup") if row[column] != UNKNOWN]


def lengths(store: ClipStore, dataset: Dataset) -> charts.Chart:
    """Histogram of clip lengths."""
    return charts.lengths(f"Clips by length, {BIN} frames per bar", store.lengths, BIN, dataset.fps)


def missing(store: ClipStore, dataset: Dataset, measures: Measures) -> list[dict[str, Any]]:
    """How often each body is absent: from whole clips, from some of a clip's frames, from all frames together
    (fractions, 0 to 1).
    """
    seen = np.zeros((len(store), store.bodies), np.int64)
    seen[measures.column("clip"), measures.column("body")] = measures.column("seen")
    everything = np.ones(len(store), bool)
    together = store.table["action"].isin(dataset.two_person).to_numpy()
    rows = [(f"body {body + 1}", body, everything) for body in range(store.bodies)]
    if store.bodies > 1 and together.any():
        rows.append(("body 2, in two-person actions", 1, together))
    return [{"label": label, **_absent(seen[chosen, body], store.lengths[chosen])} for label, body, chosen in rows]


def _absent(seen: np.ndarray, frames: np.ndarray) -> dict[str, float]:
    return {
        "clips": len(seen),
        "never": float((seen == 0).mean()),
        "at_times": float(((seen > 0) & (seen < frames)).mean()),
        "frames": float(1 - seen.sum() / frames.sum()),
    }


def dropped(entries: Sequence[Mapping[str, str]]) -> list[dict[str, Any]]:
    """Dropped files by reason, most frequent first; unreadable files form one group."""
    groups: dict[str, list[str]] = {}
    for entry in entries:
        own = PurePosixPath(entry["source"]).name in entry["reason"]
        groups.setdefault("cannot be used" if own else entry["reason"], []).append(
            entry["reason"] if own else entry["name"]
        )
    return [
        {"reason": reason, "count": len(files), "files": files[:MOST_FILES]}
        for reason, files in sorted(groups.items(), key=lambda group: -len(group[1]))
    ]
