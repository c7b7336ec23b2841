"""Check before any job runs whether settings need more clips than the data has.

The number of clips is known for simulated data and for data sets with published counts. Raw files may lack some, so
these are upper bounds. Nothing is known yet of your own files.
"""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd

from stars.config import Config
from stars.data.simulate import plan
from stars.data.simulate.stage import SimulateStage
from stars.data.splits import test_clips, training_clips
from stars.errors import InputError
from stars.pipeline import configuration, layout
from stars.pipeline.resolve import TRAINED

LEAST_BATCH = 2  # clips that a training step needs


class Most(NamedTuple):
    """Clips that a split has at most; training clips of novel actions, None if unknown."""

    train: int
    test: int
    novel: int | None


def lines(config: Config) -> list[str]:
    """Warnings: batches larger than the training set.

    Raises:
        InputError: a job would fail later for lack of clips, e.g. too few neighbours.
    """
    found = {(data, split): size for data, split in layout.every_run(config) if (size := most(config, data, split))}
    for (data, split), size in found.items():
        _check_sides(f"split {split} of data.{data}", size)
        _check_neighbours(config, data, split, size)
    for pair in configuration.pairs(config, "few_shot"):
        size = found.get((pair.target, pair.target_split))
        shots = max(config.few_shot.shots)
        if "neighbours" in config.few_shot.readings and size and size.novel is not None and shots > size.novel:
            have = f"{pair.target}_{pair.target_split} has at most {size.novel} training clips of the novel classes"
            raise InputError(f"few_shot.shots asks for {shots} neighbours, but {have}: lower few_shot.shots")
    return [line for (data, split), size in found.items() for line in _batches(config, data, split, size)]


def most(config: Config, data: str, split: str) -> Most | None:
    """Upper bounds of the clips of a split; None if unknown."""
    described, simulated = configuration.dataset(config, data), config.data[data].simulate
    rule = described.splits[split]
    if simulated is None:
        return Most(*rule.counts, rule.novel_counts[0] if rule.novel_counts else None) if rule.counts else None
    if rule.list_file is not None:
        return None
    acted = plan(SimulateStage.of(described, simulated))
    table = pd.DataFrame(
        [{**performance._asdict(), "camera": camera} for performance, cameras in acted for camera in cameras]
    )
    trains = training_clips(table, rule)
    novel = trains & table["action"].isin(described.novel).to_numpy()
    return Most(int(trains.sum()), int(test_clips(table, rule, trains).sum()), int(novel.sum()))


def _check_sides(where: str, size: Most) -> None:
    for side, clips in (("training", size.train), ("test", size.test)):
        if not clips:
            raise InputError(
                f"{where} would have no {side} clips: raise simulate.clips, or correct the split in the data set's YAML"
            )


def _check_neighbours(config: Config, data: str, split: str, size: Most) -> None:
    if "knn" not in config.data[data].protocols:
        return
    for name in layout.evaluated(config, "knn"):
        wanted = max(configuration.method(config, data, name).blocks["knn"]["k"])
        if wanted > size.train:
            raise InputError(
                f"knn.k asks for {wanted} neighbours, but {data}_{split} has at most {size.train} training clips: lower"
                " knn.k"
            )


def _batches(config: Config, data: str, split: str, size: Most) -> list[str]:
    """A line for each size of batch that is larger than the training clips; InputError for one that is too small to
    train on.
    """
    if not config.data[data].protocols and (data, split) not in {
        (pair.source, pair.source_split) for pair in _pairs(config)
    }:
        return []
    larger: dict[str, list[str]] = {}
    for name in config.methods:
        found = configuration.method(config, data, name)
        if found.kind not in TRAINED:
            continue
        batch = found.blocks[found.kind]["optimiser"]["batch"]
        where = f"{found.kind}.optimiser.batch is {batch}"
        if min(batch, size.train) < LEAST_BATCH:
            have = f"there are at most {size.train} training clips"
            raise InputError(
                f"methods.{name} on {data}_{split}: {where}, and {have}: a batch needs at least {LEAST_BATCH} clips"
            )
        if batch > size.train:
            larger.setdefault(where, []).append(name)
    after = f"more than the {size.train} training clips of {data}_{split}: each step uses all of them"
    return [f"{where} ({', '.join(names)}), {after}" for where, names in larger.items()]


def _pairs(config: Config) -> list[configuration.Across]:
    return [pair for protocol in ("transfer", "few_shot") for pair in configuration.pairs(config, protocol)]
