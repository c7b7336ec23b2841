"""Work and output of a job: floating-point operations of the encoder, clips read, bytes written.

Operations are those of matmuls and attention (2 per multiply-add); a backward pass counts as two forward passes. An
absent or copied second body is skipped, except in masked training (`stars.backbones.clips.clip_features`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from stars.config import Config, Simulate
from stars.pipeline import configuration, layout
from stars.pipeline.resolve import TRANSFORMER
from stars.plan.besides import DRAWING, FRAMES, PROCESS, Size, amounts, hashed, memory, resting, scorings, seen
from stars.plan.encoder import BODIES, JOINTS, Encoder, Features, block_flops, encoder_flops, tokens_of
from stars.plan.jobs import Job

ROWS = r"results/(?P<data>\w+)/splits/(?P<split>\w+)_(train|test)\.npy$"
METHOD = r"results/(?P<run>\w+)/(?P<folder>[\w.-]+)"
Kind = Literal["train", "encode", "read", ""]
COMPUTED = (
    "pretrain",
    "tune",
    "train",
    "finetune",
    "embed",
)  # blocks with the precision of a stage; a linear probe runs its encoder with that of `embed`


@dataclass(frozen=True)
class Work:
    """Work of one job: an amount of a kind (train, encode: operations, in a precision; read: raw files), its other work
    (`stars.plan.besides`), bytes written to disk, and peak memory in bytes.

    `known` is false if the number of clips is unknown.
    """

    kind: Kind = ""
    amount: float = 0.0
    disk: float = 0.0
    known: bool = True
    precision: str = "fp32"
    besides: Mapping[str, float] = field(default_factory=dict)
    memory: float = PROCESS


def of(job: Job, config: Config) -> Work:
    """The work of one job of a configuration."""
    if job.stage in ("ingest", "join"):
        return _reading(job, config)
    size, encoder = size_for(job, config), encoder_for(job, config)
    if size is None:
        return Work(known=job.stage not in AMOUNTS, memory=resting(job.stage))
    if encoder is None:
        features = features_for(job, config)
        return _comparing(job, features, size) if features else Work(memory=resting(job.stage))
    return amount(job.stage, job.settings, encoder, size, gpu=config.compute.device != "cpu")


def _comparing(job: Job, features: Features, size: Size) -> Work:
    """The work of a stage that computes or compares features without an encoder."""
    return Work(
        disk=_disk(job.stage, job.settings, features, size),
        besides={**hashed(job.stage, size), **amounts(job.stage, job.settings, features, size)},
        memory=memory(job.stage, job.settings, features, size, gpu=False),
    )


def amount(stage: str, settings: Mapping[str, Any], encoder: Encoder, size: Size, gpu: bool = False) -> Work:
    """The work of a stage with these settings on this encoder."""
    kind, operations = AMOUNTS[stage](settings, encoder, size) if stage in AMOUNTS else ("", 0.0)
    precision = next(
        (settings[name]["precision"] for name in COMPUTED if "precision" in settings.get(name, {})), "fp32"
    )
    sides = subset(settings, size) if stage == "semi" else size
    return Work(
        kind,
        operations,
        _disk(stage, settings, encoder, size),
        precision=precision,
        besides={**hashed(stage, size), **amounts(stage, settings, encoder, sides)},
        memory=memory(stage, settings, encoder, sides, gpu),
    )


def _pretrain(settings: Mapping[str, Any], encoder: Encoder, size: Size) -> tuple[Kind, float]:
    block, shape = settings["pretrain"], encoder.shape
    visible = encoder_flops(shape, JOINTS, 1 - block["motion"]["ratio"])
    decoded = shape.decoder_depth * block_flops(tokens_of(shape, JOINTS), shape.decoder_width, shape.decoder_hidden)
    bodies = 2.0 if block["bodies"] == "all" else size.bodies
    return "train", 3 * bodies * (visible + decoded) * seen(block["optimiser"], size.train)


def _tune(settings: Mapping[str, Any], encoder: Encoder, size: Size) -> tuple[Kind, float]:
    tune = settings["tune"]
    strategy = tune.get("strategy", "nnclr")
    student, teacher = passes(strategy, tune.get(strategy, tune.get("options", {})))
    views = student * (1 + 2 * encoder.trained(tune["tuned_blocks"])) + teacher
    return "train", views * encoder.clip(size.bodies) * seen(tune["optimiser"], size.train)


def _train(settings: Mapping[str, Any], encoder: Encoder, size: Size) -> tuple[Kind, float]:
    """Every network encodes every view in the objective's passes; other computation of an objective is not counted."""
    train = settings["train"]
    student, others = passes(train["objective"], train["options"])
    networks = [Encoder.of(one["backbone"], one["model"]) for one in settings["networks"]]
    per_clip = sum(network.clip(BODIES) for network in networks)
    return "train", (3 * student + others) * per_clip * seen(train["optimiser"], size.train)


def passes(objective: str, options: Mapping[str, Any]) -> tuple[int, int]:
    """Views per clip and step that a network encodes with and without gradient, according to the objective."""
    from stars import objectives

    found = objectives.find(objective)
    return found.passes(found.Options.model_validate(options))


def _embed(settings: Mapping[str, Any], encoder: Encoder, size: Size) -> tuple[Kind, float]:
    return "encode", encoder.clip(size.bodies) * (size.train + size.test)


def _linear(settings: Mapping[str, Any], encoder: Encoder, size: Size) -> tuple[Kind, float]:
    linear = settings["linear"]
    return "encode", encoder.clip(size.bodies) * (size.train * linear["cached_views"] or seen(linear, size.train))


def _finetune(settings: Mapping[str, Any], encoder: Encoder, size: Size) -> tuple[Kind, float]:
    """Fine-tuning computes both bodies in training; a pass over the test clips costs a third of a training step per
    clip.
    """
    block = settings["finetune"]
    passes = seen(block["optimiser"], size.train)
    scored = scorings(block, passes, size.train)
    trained, tested = encoder.clip(BODIES) * passes, encoder.clip(size.bodies) * size.test * scored
    return "train", 3 * trained + tested


def _semi(settings: Mapping[str, Any], encoder: Encoder, size: Size) -> tuple[Kind, float]:
    kind, operations = _finetune(settings, encoder, subset(settings, size))
    return kind, settings["subsets"] * operations


def subset(settings: Mapping[str, Any], size: Size) -> Size:
    """A split whose training side is a fraction of it."""
    return replace(size, train=max(1, round(settings["fraction"] * size.train)))


AMOUNTS = {
    "pretrain": _pretrain,
    "tune": _tune,
    "train": _train,
    "embed": _embed,
    "linear": _linear,
    "finetune": _finetune,
    "semi": _semi,
}


def _reading(job: Job, config: Config) -> Work:
    """Raw files of a job, all or those of one setup; bytes of the clip store, which are counted with the join if it
    has parts.
    """
    data = job.place("out", r"results/(?P<data>\w+)/clips").get("data", "")
    clips, described = clips_of(config, data), configuration.stored(config, data)
    if clips is None:
        return Work("read", known=False)
    store = clips * FRAMES * described.bodies * len(described.joints) * 3 * 4
    if job.stage == "join":
        return Work("", 0, store, besides={"copy": store}, memory=DRAWING)
    part = 1 / len(described.setups) if described.setups and job.option("setup") else 1
    return Work("read", clips * part, store if part == 1 else 0)


def clips_of(config: Config, data: str) -> int | None:
    """Number of clips of a data set, from its description or its simulation; None if unknown."""
    described, simulated = configuration.dataset(config, data), config.data[data].simulate
    counted = [sum(split.counts) for split in described.splits.values() if split.counts]
    return _simulated(simulated) if simulated else described.clips or (counted[0] if counted else None)


def _simulated(simulate: Simulate) -> int:
    return (
        simulate.clips
        or simulate.actions * simulate.subjects * simulate.cameras * simulate.setups * simulate.repetitions
    )


def size_of(config: Config, data: str, split: str) -> Size | None:
    """Size of a split: from its files if they exist, otherwise from the description, otherwise half of the clips per
    side.
    """
    described = configuration.dataset(config, data)
    bodies = 1 + len(described.two_person) / len(described.actions) if described.bodies > 1 else 1.0
    if (sides := _sides(config, data, split)) is None:
        return None
    train, test = sides
    complete, novel = described.splits[split].counts, described.splits[split].novel_counts
    parts = [of / whole for of, whole in zip(novel, complete, strict=True)] if novel and complete else None
    train_part, test_part = parts or [len(described.novel) / len(described.actions)] * 2
    return Size(train, test, bodies, (round(train_part * train), round(test_part * test)))


def _sides(config: Config, data: str, split: str) -> tuple[int, int] | None:
    files = [Path(layout.split_rows(data, split, side)) for side in ("train", "test")]
    if all(file.exists() for file in files):
        train, test = (len(np.load(file, mmap_mode="r", allow_pickle=False)) for file in files)
        return train, test
    if counts := configuration.dataset(config, data).splits[split].counts:
        return counts
    clips = clips_of(config, data)
    return None if clips is None else (clips // 2, clips - clips // 2)


def size_for(job: Job, config: Config) -> Size | None:
    """Size of the split whose rows a job reads; None if it is not configured or unknown."""
    place = job.place("train", ROWS) or job.place("test", ROWS)
    if (
        place.get("data") not in config.data
        or place["split"] not in configuration.dataset(config, place["data"]).splits
    ):
        return None
    return size_of(config, **place)


def encoder_for(job: Job, config: Config) -> Encoder | None:
    """The encoder of the method whose folder a job reads or writes; None if it has none, or is not configured."""
    method = _method(job, config)
    if method is None or method.kind in ("joints", "ensemble"):
        return None
    return Encoder.of(method.backbone, method.blocks["model"])


def needs_network(job: Job, config: Config) -> bool:
    """Whether counting a job's work takes a network, of a method or of one whose features it fuses, and PyTorch."""
    data, method = _data(job, config), _method(job, config)
    if job.stage == "train" or data is None or method is None or method.kind == "joints":
        return job.stage == "train"
    members = [configuration.method(config, data, name) for name in method.members] or [method]
    return any(member.backbone != TRANSFORMER for member in members)


def features_for(job: Job, config: Config) -> Features | None:
    """The features of such a method without an encoder of its own: joint positions, or those of its members."""
    data, method = _data(job, config), _method(job, config)
    if data is None or method is None:
        return None
    if method.kind == "joints":
        described = configuration.stored(config, data)
        return Features(method.blocks["joints"]["frames"] * described.bodies * len(described.joints) * 3)
    if method.kind == "ensemble":
        member = configuration.method(config, data, next(iter(method.members)))
        return Features(Encoder.of(member.backbone, member.blocks["model"]).width)
    return None


def _method(job: Job, config: Config) -> Any:
    """The method whose folder a job reads or writes, resolved; None if it is not configured."""
    data, place = _data(job, config), _place(job)
    name = configuration.untag(config, place["folder"])[0] if place else ""
    return None if data is None or name not in config.methods else configuration.method(config, data, name)


def _data(job: Job, config: Config) -> str | None:
    """The data set that the method was made for."""
    return {f"{data}_{split}": data for data, split in layout.every_run(config)}.get(_place(job).get("run", ""))


def _place(job: Job) -> dict[str, str]:
    """Run and folder of the method."""
    return job.place("method", METHOD) or job.place("encoder", METHOD) or job.place("out", METHOD)


def _disk(stage: str, settings: Mapping[str, Any], encoder: Encoder | Features, size: Size) -> float:
    """Bytes of an encoder's weights or of features; other files of a job are small in comparison."""
    if stage in ("joints", "ensemble"):
        return 4 * encoder.width * (size.train + size.test)
    if stage == "train":
        return 4 * sum(Encoder.of(one["backbone"], one["model"]).parameters for one in settings["networks"])
    if stage in ("pretrain", "tune") and isinstance(encoder, Encoder):
        return 4 * encoder.parameters
    if stage == "embed":
        return 4 * encoder.width * (size.train + size.test) * len(settings["outputs"])
    return 0.0
