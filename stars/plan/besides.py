"""What a job does besides the encoder's arithmetic: clips that it loads and cuts, features that it compares and places; and the memory that it holds.

load     bytes of clips read into memory
cut      frames of a body, cut out of clips and resampled
copy     bytes of a clip store copied
compare  operations of nearest neighbours, and of the measures of clusters
place    points of a t-SNE
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stars.pipeline.resolve import TRANSFORMER
from stars.plan.encoder import BODIES, JOINTS, Encoder, tokens_of

FRAMES = 80  # frames of a clip, where nothing is known of them; NTU's mean is near it
CLIP = FRAMES * BODIES * JOINTS * 3 * 4  # bytes
PROCESS, WITH_TORCH = 150e6, 450e6  # bytes of a process that has loaded what a light stage needs, or PyTorch
LIGHT = ("simulate", "ingest", "join", "split", "subsets", "exemplars", "table", "figure", "report", "inspect", "comparison")
FREE_NUMBERS = 20  # a token and layer's numbers that autograd keeps, in multiples of the width


@dataclass(frozen=True)
class Size:
    """Clips on the two sides of a split, and how many distinct bodies a clip has on average."""

    train: int
    test: int
    bodies: float


def amounts(stage: str, settings: Mapping[str, Any], encoder: Encoder, size: Size) -> dict[str, float]:
    """What a stage does besides arithmetic, by kind."""
    both = size.train + size.test
    if stage in ("pretrain", "tune", "train"):
        return {"load": CLIP * size.train, "cut": _frames(encoder, seen(settings[stage]["optimiser"], size.train))}
    if stage == "embed":
        return {"load": CLIP * both, "cut": _frames(encoder, both)}
    if stage == "linear":
        linear = settings["linear"]
        viewed = size.train * linear["cached_views"] or seen(linear, size.train)
        return {"load": CLIP * both, "cut": _frames(encoder, viewed + size.test)}
    if stage in ("finetune", "semi"):
        block = settings["finetune"]
        passes = seen(block["optimiser"], size.train)
        viewed = passes + size.test * scorings(block, passes, size.train)
        return {"load": CLIP * both, "cut": settings.get("subsets", 1) * _frames(encoder, viewed)}
    if stage == "knn":
        found = len(settings["outputs"])
        return {"compare": 2.0 * encoder.width * size.test * (found * size.train + 2 * size.test)}
    return {"place": min(size.test, settings["points"])} if stage == "map" else {}


def seen(passes: Mapping[str, Any], clips: int) -> float:
    """Training clips, counted as often as they are seen."""
    whole = clips * passes["epochs"]
    return float(whole if passes.get("max_steps") is None else min(whole, passes["max_steps"] * min(passes["batch"], clips)))


def scorings(block: Mapping[str, Any], seen: float, clips: int) -> float:
    """How often fine-tuning looks at the test clips."""
    return max(1.0, seen / clips / block["score_epochs"])


def memory(stage: str, settings: Mapping[str, Any], encoder: Encoder, size: Size, gpu: bool) -> float:
    """Bytes of main memory that a job holds at its peak."""
    width = 4 * encoder.width
    if stage in ("pretrain", "tune", "train"):
        return WITH_TORCH + CLIP * size.train + (0 if gpu else _step(settings[stage]["optimiser"]["batch"], encoder))
    if stage == "embed":
        return WITH_TORCH + CLIP * max(size.train, size.test) + width * size.train * len(settings["outputs"])
    if stage in ("linear", "finetune", "semi"):
        return WITH_TORCH + CLIP * (size.train + size.test)
    if stage == "knn":
        return WITH_TORCH + 4 * width * (size.train + size.test)
    return PROCESS if stage in LIGHT else WITH_TORCH


def _step(batch: int, encoder: Encoder) -> float:
    """What a step of the transformer on a CPU keeps for its backward pass; on a GPU it lies there."""
    if encoder.backbone != TRANSFORMER:
        return 12.0 * encoder.parameters
    shape = encoder.shape
    return 4.0 * FREE_NUMBERS * batch * BODIES * tokens_of(shape, JOINTS) * (shape.width * shape.depth)


def _frames(encoder: Encoder, clips: float) -> float:
    return BODIES * encoder.frames * clips
