"""Statistics of a clip store, for a check at a glance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

BIN = 20  # frames per bar of the length histogram


def quality(table: pd.DataFrame, dropped: Sequence[Mapping[str, str]], bodies: int) -> dict[str, Any]:
    """quality.json as plain data.

    Args:
        table: clips.csv, at least one clip; dropped: name, source and reason of each rejected file; bodies: M of the
            store.
    """
    return {
        "read": len(table) + len(dropped),
        "kept": len(table),
        "dropped": list(dropped),
        "clips_per_class": _counts(table, "action"),
        "clips_per_subject": _counts(table, "subject"),
        "clips_per_camera": _counts(table, "camera"),
        "clips_per_setup": _counts(table, "setup"),
        "frames": _lengths(table["frames"].to_numpy()),
        "share_without_second_body": float((table["bodies"] < 2).mean()) if bodies > 1 else None,
    }


def _counts(table: pd.DataFrame, column: str) -> dict[str, int]:
    return {str(value): int(count) for value, count in table[column].value_counts().sort_index().items()}


def _lengths(frames: np.ndarray) -> dict[str, Any]:
    edges = np.arange(0, frames.max() + BIN + 1, BIN)
    histogram = {
        f"{low}-{low + BIN - 1}": int(count)
        for low, count in zip(edges[:-1], np.histogram(frames, edges)[0], strict=True)
    }
    return {
        "min": int(frames.min()),
        "median": float(np.median(frames)),
        "max": int(frames.max()),
        "histogram": histogram,
    }
