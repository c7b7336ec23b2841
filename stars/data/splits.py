"""Which clips train and which test: an evaluation split as two files of rows of clips.csv."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd

from stars.config import Settings
from stars.data.dataset import Split
from stars.data.store import TABLE, read_table
from stars.errors import InputError
from stars.provenance.files import write_npy
from stars.provenance.record import recording


class SplitStage(Settings):
    """Everything that a split depends on but the clips."""

    name: str
    split: Split


def split(clips: Path, out: Path, settings: SplitStage) -> None:
    """Write {name}_train.npy and {name}_test.npy, ascending int64 rows of clips.csv, and {name}.record.json into folder `out`.

    Where the sizes are not those of the complete data set, one line on stderr says so: part of a data set is no error.

    Raises:
        InputError: an empty side, or a class that is tested but never trained.
    """
    path, name = Path(clips) / TABLE, settings.name
    files = [f"{name}_train.npy", f"{name}_test.npy"]
    with recording(out, "stars.data.splits", settings.model_dump(mode="json"), {"clips": path}, files, f"{name}.record.json") as notes:
        table = read_table(path)
        trains = training_clips(table, settings.split)
        _check(table, trains, settings)
        sides = np.flatnonzero(trains), np.flatnonzero(~trains)
        for file, rows in zip(files, sides, strict=True):
            write_npy(Path(out) / file, rows.astype(np.int64))
        notes["clips"] = {"train": len(sides[0]), "test": len(sides[1])}


def training_clips(table: pd.DataFrame, split: Split) -> np.ndarray:
    """(clips,) bool: the clips that train. Every other one tests."""
    if split.by not in table:
        raise InputError(f"split {split.title} is by {split.by}, which {TABLE} does not have: correct it in the data set's YAML")
    values = table[split.by].to_numpy()
    return values % 2 == 0 if split.train == "even" else np.isin(values, split.train)


def _check(table: pd.DataFrame, trains: np.ndarray, settings: SplitStage) -> None:
    where = f"split {settings.name} (by {settings.split.by}, training values {settings.split.train})"
    for side, clips in (("training", trains), ("test", ~trains)):
        if not clips.any():
            raise InputError(
                f"{where} has no {side} clips among {len(table)}: complete the raw files, or correct the split in the data set's YAML"
            )
    untrained = table.loc[~trains & ~table["label"].isin(table["label"][trains])]
    if len(untrained):
        names = ", ".join(untrained["action_name"].unique()[:5])
        raise InputError(f"{where}: class {names} has test clips but no training clips: complete the raw files, or leave the class out")
    found = int(trains.sum()), int((~trains).sum())
    if settings.split.counts and found != settings.split.counts:
        print(
            f"{where}: {found[0]} training and {found[1]} test clips; the complete data set has {settings.split.counts[0]} and "
            f"{settings.split.counts[1]}. quality.json says what was dropped; the rest is not among the raw files, or ingest.missing_list is not set",
            file=sys.stderr,
        )
