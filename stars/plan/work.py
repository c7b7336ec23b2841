"""How much a job computes and writes: floating-point operations of the transformer, clips read, bytes kept.

Counted are matrix products and attention (a multiplication and an addition are two), a backward pass as two forward ones. An absent or
copied second body is not computed where nothing is masked (`stars.model.encoder.clip_features`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from stars import layout, recipes
from stars.config import Config, Model, Simulate
from stars.plan.jobs import Job

FRAMES = 80  # frames of a clip, where nothing is known of them; NTU's mean is near it
ROWS = r"results/(?P<data>\w+)/splits/(?P<split>\w+)_(train|test)\.npy$"
METHOD = r"results/(?P<run>\w+)/(?P<folder>[\w.-]+)"
Kind = Literal["train", "encode", "read", ""]
COMPUTED = (
    "pretrain",
    "tune",
    "finetune",
    "embed",
)  # blocks that say in which precision a stage computes; a probe's encoder is run as `embed` says


@dataclass(frozen=True)
class Work:
    """What one job does: an amount of a kind (train, encode: operations, in a precision; read: raw files), and bytes that stay on disk.

    `known` is false where nobody can say how many clips there are.
    """

    kind: Kind = ""
    amount: float = 0.0
    disk: float = 0.0
    known: bool = True
    precision: str = "fp32"


@dataclass(frozen=True)
class Size:
    """Clips on the two sides of a split, and how many distinct bodies a clip has on average."""

    train: int
    test: int
    bodies: float


def of(job: Job, config: Config) -> Work:
    """The work of one job of a configuration."""
    if job.stage in ("ingest", "join"):
        return _reading(job, config)
    size, shape = size_for(job, config), shape_for(job, config)
    if job.stage not in AMOUNTS or shape is None:
        return Work()
    return Work(known=False) if size is None else amount(job.stage, job.settings, shape, size)


def amount(stage: str, settings: Mapping[str, Any], shape: Model, size: Size) -> Work:
    """The work of a stage with these settings on a model of this shape."""
    kind, operations = AMOUNTS[stage](settings, shape, size)
    precision = next((settings[name]["precision"] for name in COMPUTED if "precision" in settings.get(name, {})), "fp32")
    return Work(kind, operations, _disk(stage, settings, shape, size), precision=precision)


def encoder_flops(shape: Model, joints: int, visible: float = 1.0) -> float:
    """Forward pass of the encoder over this share of one body's tokens."""
    tokens = int(tokens_of(shape, joints) * visible)
    return shape.depth * block_flops(tokens, shape.width, shape.hidden)


def block_flops(tokens: int, width: int, hidden: int) -> float:
    """Forward pass of one transformer block: projections, feed-forward network, attention."""
    return 2 * tokens * (4 * width**2 + 2 * width * hidden) + 4 * tokens**2 * width


def tokens_of(shape: Model, joints: int) -> int:
    """Tokens of one body: joints times segments."""
    return shape.frames // shape.segment * joints


def encoder_parameters(shape: Model, joints: int) -> int:
    """Numbers in encoder.safetensors."""
    width, hidden = shape.width, shape.hidden
    block = 4 * width**2 + 2 * width * hidden + 9 * width + hidden
    tables = (joints + shape.frames // shape.segment) * width
    return shape.depth * block + (3 * shape.segment + 1) * width + tables + 2 * width


JOINTS = 25  # of every published data set; the count moves with it nearly in proportion


def _pretrain(settings: Mapping[str, Any], shape: Model, size: Size) -> tuple[Kind, float]:
    block = settings["pretrain"]
    seen = encoder_flops(shape, JOINTS, 1 - block["motion"]["ratio"])
    decoded = shape.decoder_depth * block_flops(tokens_of(shape, JOINTS), shape.decoder_width, shape.decoder_hidden)
    bodies = 2.0 if block["bodies"] == "all" else size.bodies
    return "train", 3 * bodies * (seen + decoded) * size.train * block["optimiser"]["epochs"]


def _tune(settings: Mapping[str, Any], shape: Model, size: Size) -> tuple[Kind, float]:
    tune = settings["tune"]
    tuned = shape.depth // 2 if tune["tuned_blocks"] is None else tune["tuned_blocks"]
    student, teacher = views(tune)
    passes = student * (1 + 2 * tuned / shape.depth) + teacher
    return "train", passes * size.bodies * encoder_flops(shape, JOINTS) * size.train * tune["optimiser"]["epochs"]


def views(tune: Mapping[str, Any]) -> tuple[int, int]:
    """Views of a clip a step that the trained encoder sees, and that a teacher sees, by the strategy."""
    strategy = tune.get("strategy", "nnclr")
    if strategy == "dino":
        return 2 + tune["dino"]["local_views"], 2
    if strategy == "moco":
        return 1, 1
    return tune.get("nnclr", tune).get("views", 1), 0


def _embed(settings: Mapping[str, Any], shape: Model, size: Size) -> tuple[Kind, float]:
    return "encode", size.bodies * encoder_flops(shape, JOINTS) * (size.train + size.test)


def _linear(settings: Mapping[str, Any], shape: Model, size: Size) -> tuple[Kind, float]:
    linear = settings["linear"]
    return "encode", size.bodies * encoder_flops(shape, JOINTS) * size.train * (linear["cached_views"] or linear["epochs"])


def _finetune(settings: Mapping[str, Any], shape: Model, size: Size) -> tuple[Kind, float]:
    """Fine-tuning computes both bodies in training; a pass over the test clips is a third of a step's cost a clip."""
    block = settings["finetune"]
    scored = block["optimiser"]["epochs"] / block["score_epochs"]
    seen = 2 * size.train * block["optimiser"]["epochs"] + size.bodies * size.test * scored / 3
    return "train", 3 * encoder_flops(shape, JOINTS) * seen


def _semi(settings: Mapping[str, Any], shape: Model, size: Size) -> tuple[Kind, float]:
    subset = Size(max(1, round(settings["fraction"] * size.train)), size.test, size.bodies)
    kind, operations = _finetune(settings, shape, subset)
    return kind, settings["subsets"] * operations


AMOUNTS = {"pretrain": _pretrain, "tune": _tune, "embed": _embed, "linear": _linear, "finetune": _finetune, "semi": _semi}


def _reading(job: Job, config: Config) -> Work:
    """Raw files of a job, all of them or a setup's share; the clip store's bytes, which a part leaves to the join."""
    data = job.place("out", r"results/(?P<data>\w+)/clips").get("data", "")
    clips, described = clips_of(config, data), recipes.stored(config, data)
    if clips is None:
        return Work("read", known=False)
    store = clips * FRAMES * described.bodies * len(described.joints) * 3 * 4
    if job.stage == "join":
        return Work("", 0, store)
    part = 1 / len(described.setups) if described.setups and job.option("setup") else 1
    return Work("read", clips * part, store if part == 1 else 0)


def clips_of(config: Config, data: str) -> int | None:
    """Clips of a data set: of its description, or as many as are simulated; None where nobody says."""
    described, simulated = recipes.dataset(config, data), config.data[data].simulate
    counted = [sum(split.counts) for split in described.splits.values() if split.counts]
    return _simulated(simulated) if simulated else described.clips or (counted[0] if counted else None)


def _simulated(simulate: Simulate) -> int:
    return simulate.clips or simulate.actions * simulate.subjects * simulate.cameras * simulate.setups * simulate.repetitions


def size_of(config: Config, data: str, split: str) -> Size | None:
    """Of the split's files where they are made, else of the description, else half of the clips."""
    described = recipes.dataset(config, data)
    bodies = 1 + len(described.two_person) / len(described.actions) if described.bodies > 1 else 1.0
    files = [Path(layout.split_rows(data, split, side)) for side in ("train", "test")]
    if all(file.exists() for file in files):
        train, test = (len(np.load(file, mmap_mode="r", allow_pickle=False)) for file in files)
        return Size(train, test, bodies)
    if counts := described.splits[split].counts:
        return Size(*counts, bodies)
    clips = clips_of(config, data)
    return None if clips is None else Size(clips // 2, clips - clips // 2, bodies)


def size_for(job: Job, config: Config) -> Size | None:
    """Of the split whose rows a job reads; None where it is not configured, or nobody says."""
    place = job.place("train", ROWS) or job.place("test", ROWS)
    if place.get("data") not in config.data or place["split"] not in recipes.dataset(config, place["data"]).splits:
        return None
    return size_of(config, **place)


def shape_for(job: Job, config: Config) -> Model | None:
    """The model of the method whose folder a job reads or writes; None where it is not configured."""
    place = job.place("method", METHOD) or job.place("encoder", METHOD) or job.place("out", METHOD)
    name = recipes.untag(config, place["folder"])[0] if place else ""
    data = {f"{data}_{split}": data for data, split in layout.every_run(config)}.get(place.get("run", ""))
    if data is None or name not in config.methods:
        return None
    return Model.model_validate(recipes.method(config, data, name).blocks["model"])


def _disk(stage: str, settings: Mapping[str, Any], shape: Model, size: Size) -> float:
    """Bytes of an encoder's weights or of features; what else a job writes is small beside them."""
    if stage in ("pretrain", "tune"):
        return 4 * encoder_parameters(shape, JOINTS)
    if stage == "embed":
        return 4 * shape.width * (size.train + size.test) * len(settings["outputs"])
    return 0.0
