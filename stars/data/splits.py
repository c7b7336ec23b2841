"""Evaluation splits: training and test clips as two files of rows of clips.csv."""

from __future__ import annotations

import re
import sys
from collections.abc import Collection
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd

from stars.config import Settings
from stars.data.dataset import Split
from stars.data.readers import UNKNOWN, unreadable
from stars.data.sources import Source
from stars.data.store import SIDES, TABLE, read_table
from stars.errors import InputError
from stars.provenance.files import write_npy
from stars.provenance.record import recording

# words in names of preprocessed files → split
SPLIT_WORDS = {
    "cs": "xsub",
    "csub": "xsub",
    "xsub": "xsub",
    "cv": "xview",
    "cview": "xview",
    "xview": "xview",
    "cset": "xset",
    "xset": "xset",
}


class SplitStage(Settings):
    """Settings of a split; the clips are its input."""

    name: str
    split: Split


def split(clips: Path, out: Path, settings: SplitStage, raw: Path | None = None) -> None:
    """Write {name}_train.npy and {name}_test.npy, ascending int64 rows of clips.csv, and {name}.record.json into folder
    `out`.

    If the sizes differ from the complete data set's, one line on stderr says so: an incomplete data set is no error.

    Args:
        raw: the raw files, if the split uses a list among them.

    Raises:
        InputError: an empty side, a test class without training clips, or sizes that differ although every clip is
            present.
    """
    path, name = Path(clips) / TABLE, settings.name
    files = [f"{name}_train.npy", f"{name}_test.npy"]
    with recording(
        out, "stars.data.splits", settings.model_dump(mode="json"), {"clips": path}, files, f"{name}.record.json"
    ) as notes:
        table = read_table(path)
        if (own := _of_the_file(table, settings)) is not None:
            trains, tests = own
            notes["rule"] = "the raw file's own"
        else:
            listed = _listed_videos(raw, settings, notes) if settings.split.list_file else None
            trains = training_clips(table, settings.split, listed)
            tests = test_clips(table, settings.split, trains)
        _check(table, trains, tests, settings)
        sides = np.flatnonzero(trains), np.flatnonzero(tests)
        for file, rows in zip(files, sides, strict=True):
            write_npy(Path(out) / file, rows.astype(np.int64))
        notes["clips"] = {"train": len(sides[0]), "test": len(sides[1])}


def training_clips(table: pd.DataFrame, split: Split, listed: Collection[str] | None = None) -> np.ndarray:
    """(clips,) bool: the training clips.

    Args:
        listed: the training videos, if the split is by video.
    """
    if listed is not None:
        chosen = table["source"].map(lambda source: PurePosixPath(source).stem in listed).to_numpy(bool)
    else:
        values = table[split.by].to_numpy()
        chosen = values % 2 == 0 if split.train == "even" else np.isin(values, list(split.train or ()))
    return chosen & _of_actions(table, split)


def test_clips(table: pd.DataFrame, split: Split, trains: np.ndarray) -> np.ndarray:
    """(clips,) bool: the test clips; without `test` values, all clips of the split's actions that do not train."""
    chosen = ~trains if split.test is None else np.isin(table[split.by].to_numpy(), list(split.test))
    return chosen & _of_actions(table, split)


def _of_actions(table: pd.DataFrame, split: Split) -> np.ndarray:
    return (
        np.ones(len(table), bool) if split.actions is None else np.isin(table["action"].to_numpy(), list(split.actions))
    )


def _of_the_file(table: pd.DataFrame, settings: SplitStage) -> tuple[np.ndarray, np.ndarray] | None:
    """Training and test clips of a split included in preprocessed files; None if clips.csv has the column needed.

    Raises:
        InputError: the column is unknown, and the files include another split, or none.
    """
    split, name = settings.split, settings.name
    sides = [set(text.split()) for text in table[SIDES]] if SIDES in table else []
    said = not sides if split.by == "video" else (table[split.by] != UNKNOWN).agg("all" if sides else "any")
    if said:
        return None
    where = f"split {name} is by {split.by}, but the raw files do not give a clip's {split.by}"
    if not sides:
        raise InputError(f"{where}: choose another split, or other raw files")
    files = {source.rpartition("/")[0] for source in table["source"]}
    other = {word for file in files for word in splits_named(file)} - {name}
    for prefix in (f"{name}_", *([] if other else [""])):
        trains, tests = (np.array([prefix + side in own for own in sides]) for side in ("train", "test"))
        if trains.any() or tests.any():
            print(f"{where}: the file's own split is used", file=sys.stderr)
            return trains & _of_actions(table, split), tests & _of_actions(table, split)
    brought = other or {word.rpartition("_")[0] for own in sides for word in own} - {""}
    raise InputError(
        f"{where}, and they include split {', '.join(sorted(brought))}: set data.NAME.raw to the file of {name}"
    )


def splits_named(source: str) -> set[str]:
    """Splits named in a path, as in NTU60_CS.npz, NTU120_CSet.npz, PKUv2_XSub.npz, xview/train_data.npy …"""
    return {SPLIT_WORDS[word] for word in re.split(r"[^a-z0-9]+", source.lower()) if word in SPLIT_WORDS}


def _listed_videos(raw: Path | None, settings: SplitStage, notes: dict[str, Any]) -> frozenset[str]:
    """Training videos of a list like PKU-MMD's: the second line, separated by commas; - and _ are equivalent."""
    wanted = f"{settings.split.list_file}.txt"
    if raw is None:
        raise InputError(
            f"split {settings.name} needs the list {wanted} among the raw files: name their folder or zip with --raw"
        )
    source = Source.open(raw, (".txt",))
    found = [file for file in source.files if PurePosixPath(file).name.replace("-", "_") == wanted.replace("-", "_")]
    if len(found) != 1:
        raise InputError(
            f"{raw}: expected one file {wanted} (or with - for _), found {', '.join(found) or 'none'}: it lists the"
            " training videos"
        )
    videos = training_list(source.read(found[0]), found[0])
    notes["list"] = {"file": found[0], "sha256": source.sha256[found[0]], "videos": len(videos)}
    return videos


def training_list(data: bytes, source: str) -> frozenset[str]:
    """Videos named in a split file's second line; InputError if there are none."""
    line = "".join(data.decode("utf-8", "replace").splitlines()[1:2])
    videos = frozenset(word.strip() for word in line.split(",")) - {""}
    if not videos or not all(re.fullmatch(r"[\w-]+", video, re.ASCII) for video in videos):
        unreadable(source, 2, "the training videos' names, separated by commas", line)
    return videos


def _check(table: pd.DataFrame, trains: np.ndarray, tests: np.ndarray, settings: SplitStage) -> None:
    where = (
        f"split {settings.name} (by {settings.split.by}, training values"
        f" {settings.split.list_file or settings.split.train})"
    )
    for side, clips in (("training", trains), ("test", tests)):
        if not clips.any():
            raise InputError(
                f"{where} has no {side} clips among {len(table)}: complete the raw files, or correct the split in the"
                " data set's YAML"
            )
    untrained = table.loc[tests & ~table["label"].isin(table["label"][trains])]
    if len(untrained):
        names = ", ".join(untrained["action_name"].unique()[:5])
        advice = "complete the raw files, raise simulate.clips, or leave the class out"
        raise InputError(f"{where}: class {names} has test clips but no training clips: {advice}")
    found = int(trains.sum()), int(tests.sum())
    if settings.split.counts and found != settings.split.counts:
        expected = settings.split.counts
        message = (
            f"{where}: {found[0]} training and {found[1]} test clips; the complete data set has {expected[0]} and"
            f" {expected[1]}"
        )
        if sum(found) == sum(expected):
            raise InputError(f"{message}, although every clip is present: correct the split in the data set's YAML")
        print(f"{message}. quality.json beside {TABLE} lists the missing and the dropped clips", file=sys.stderr)
