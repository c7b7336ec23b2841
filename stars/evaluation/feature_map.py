"""A map of a method's test features, for the report's explorer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from stars.config import Settings, key
from stars.data.store import TABLE, ClipStore
from stars.errors import InputError
from stars.evaluation.features import feature_file, read_features
from stars.evaluation.metrics import Task
from stars.evaluation.projection import DECIMALS, nearest, perplexity, principal, tsne, unit
from stars.provenance.files import write_text
from stars.provenance.record import recording

MAP = "map.csv"
LEAST_CLIPS = 8


class MapStage(Settings):
    """Settings of a map."""

    seed: int = key(..., "seed of t-SNE", ge=0)
    points: int = key(..., "maximum number of test clips mapped, evenly spaced", ge=LEAST_CLIPS)
    neighbours: int = key(..., "nearest clips listed for each", ge=1)
    perplexity: float = key(..., "t-SNE's perplexity; at most a third of the clips", gt=0)


def feature_map(
    features: Path, target: str, clips: Path, train: Path, test: Path, out: Path, settings: MapStage
) -> None:
    """Write out/map.csv, one line per mapped test clip, and record.json.

    Columns: `name`; `pca_x`, `pca_y`, `tsne_x`, `tsne_y`; `neighbours`, line numbers from 0 of the nearest other mapped
    clips, nearest first, and their `cosines`, both joined by spaces.

    Raises:
        InputError: features are missing, do not fit the split or are not finite; too few test clips.
    """
    task = Task.of(ClipStore.open(clips), train, test, target)
    rows = spread(len(task.test_rows), settings.points)
    if len(rows) < LEAST_CLIPS:
        raise InputError(
            f"{test}: {len(rows)} test clips, but a map needs {LEAST_CLIPS}: use another split, or omit the report"
        )
    inputs = {
        "clips": Path(clips) / TABLE,
        "train": train,
        "test": test,
        "features": feature_file(features, target, "test", "encoder"),
    }
    with recording(out, "stars.evaluation.feature_map", settings.model_dump(mode="json"), inputs, [MAP]) as notes:
        x_nc = unit(read_features(features, task, "test", "encoder")[rows])
        notes.update(clips=len(rows), perplexity=perplexity(settings.perplexity, len(rows)))
        near, cosines = nearest(x_nc, settings.neighbours)
        table = pd.DataFrame({"name": task.names[task.test_rows[rows]]})
        table[["pca_x", "pca_y"]] = principal(x_nc)
        table[["tsne_x", "tsne_y"]] = tsne(x_nc, perplexity(settings.perplexity, len(rows)), settings.seed)
        table["neighbours"] = [" ".join(map(str, line)) for line in near]
        table["cosines"] = [" ".join(f"{cosine:.{DECIMALS}f}" for cosine in line) for line in cosines]
        write_text(Path(out) / MAP, table.to_csv(index=False, lineterminator="\n"))


def spread(count: int, most: int) -> np.ndarray:
    """At most `most` of the numbers 0 … count − 1, evenly spaced, including first and last; (n,) int64, ascending."""
    return (
        np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.int64))
        if count
        else np.zeros(0, np.int64)
    )
