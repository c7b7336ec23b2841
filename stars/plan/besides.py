"""Work of a job other than the encoder's computation (loading and cropping clips, comparing features, t-SNE), and its
memory.

hash     bytes of a clip store whose digest is taken
load     bytes of clips read into memory
cut      frames of a body, cropped from clips and resampled
copy     bytes of a clip store copied
compare  operations of nearest-neighbour search, and of as many as cost the same as clustering measures
place    points of a t-SNE, as if each took as long as among 4,000
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stars.pipeline.resolve import TRANSFORMER
from stars.plan.encoder import BODIES, JOINTS, Encoder, Features, tokens_of

FRAMES = 80  # frames of a clip, if unknown; near NTU's mean
CLIP = FRAMES * BODIES * JOINTS * 3 * 4  # bytes
# Memory in bytes, as measured at the paper's size (docs/results.md): of a light stage, of one that draws, of one that
# imports PyTorch, of one that also reads clips; of a nearest-neighbour search, and how many copies of its features a
# protocol has.
PROCESS, DRAWING, WITH_TORCH, READING = 150e6, 400e6, 450e6, 900e6
SEARCH, COPIES = 270e6, {"knn": 5, "few-shot": 11}
READ = ("pretrain", "tune", "train", "embed", "joints", "linear", "finetune", "semi")  # that read clips
OPTIMISED = ("pretrain", "tune", "train", "finetune", "semi")  # stages that train an encoder
DRAWN = ("figure", "report", "inspect")
LIGHT = (
    "simulate",
    "ingest",
    "join",
    "split",
    "subsets",
    "exemplars",
    "table",
    "figure",
    "report",
    "inspect",
)
RESCALED = ("standardised", "whitened")  # from the encoder's output, which every method has
MARGIN = 16  # candidates beyond k (stars.evaluation.knn)
CANDIDATE = 600  # comparing a candidate in float64 costs as much as this many references in float32
CLUSTERED = 8  # clustering measures cost as much as this many references per pair of test clips (docs/results.md)
POINTS = 4000  # a t-SNE of n points takes as long as n·√(n / POINTS) points at the measured rate
FREE_NUMBERS = 20  # numbers per token and layer that autograd keeps, in multiples of the width


@dataclass(frozen=True)
class Size:
    """Clips on the two sides of a split, how many distinct bodies a clip has on average, and the training and test
    clips of the classes that few-shot calls novel.
    """

    train: int
    test: int
    bodies: float
    novel: tuple[int, int] = (0, 0)


def amounts(stage: str, settings: Mapping[str, Any], encoder: Encoder | Features, size: Size) -> dict[str, float]:
    """A stage's work other than the encoder's computation, by kind."""
    if isinstance(encoder, Encoder) and stage in READ:
        return _viewing(stage, settings, encoder, size)
    if stage == "joints":
        return {"load": CLIP * (size.train + size.test)}
    if stage == "knn":
        found = len(compared(settings["knn"], settings)) * searched(size.test, size.train, max(settings["knn"]["k"]))
        return {"compare": 2.0 * encoder.width * (found + _clustered(size))}
    if stage == "few-shot":
        found = len(compared(settings["few_shot"], settings)) * _few_shot(settings, *size.novel)
        return {"compare": 2.0 * encoder.width * found}
    points = min(size.test, settings["points"]) if stage == "map" else 0
    return {"place": points * (points / POINTS) ** 0.5} if points else {}


def _viewing(stage: str, settings: Mapping[str, Any], encoder: Encoder, size: Size) -> dict[str, float]:
    """Clips loaded and cropped."""
    both = size.train + size.test
    if stage in ("pretrain", "tune", "train"):
        return {"load": CLIP * size.train, "cut": _frames(encoder, seen(settings[stage]["optimiser"], size.train))}
    if stage == "embed":
        return {"load": CLIP * both, "cut": _frames(encoder, both)}
    if stage == "linear":
        linear = settings["linear"]
        viewed = size.train * linear["cached_views"] or seen(linear, size.train)
        return {"load": CLIP * size.train, "cut": _frames(encoder, viewed)}
    if stage in ("finetune", "semi"):
        block = settings["finetune"]
        passes = seen(block["optimiser"], size.train)
        viewed = passes + size.test * scorings(block, passes, size.train)
        return {"load": CLIP * both, "cut": settings.get("subsets", 1) * _frames(encoder, viewed)}
    return {}


def hashed(stage: str, size: Size) -> dict[str, float]:
    """Bytes of the clip store whose digest a stage takes; `size` is of the whole split."""
    return {"hash": CLIP * (size.train + size.test)} if stage in READ else {}


def compared(options: Mapping[str, Any], settings: Mapping[str, Any]) -> list[str]:
    """The outputs that a protocol compares."""
    return [output for output in options["outputs"] if output in (*settings["outputs"], *RESCALED)]


def searched(queries: float, references: float, k: int) -> float:
    """Similarities of a nearest-neighbour search, in float32, or as many that cost the same."""
    return queries * (references + CANDIDATE * min(k + MARGIN, references))


def _clustered(size: Size) -> float:
    """Clustering measures of the test clips, in the unit of `searched`."""
    return CLUSTERED * float(size.test) ** 2


def _few_shot(settings: Mapping[str, Any], train: int, test: int) -> float:
    """The searches of one output among clips of novel classes, in the unit of `searched`."""
    options, classes = settings["few_shot"], len(settings["novel"])
    searches = 0.0
    if "exemplars" in options["readings"]:
        searches += options["draws"] * sum(searched(test, shots * classes, shots) for shots in options["shots"])
    if "neighbours" in options["readings"]:
        searches += searched(test, train, max(options["shots"]))
    return searches


def seen(passes: Mapping[str, Any], clips: int) -> float:
    """Training clips, counted as often as they are seen."""
    whole = clips * passes["epochs"]
    return float(
        whole if passes.get("max_steps") is None else min(whole, passes["max_steps"] * min(passes["batch"], clips))
    )


def scorings(block: Mapping[str, Any], seen: float, clips: int) -> float:
    """How often fine-tuning evaluates the test clips."""
    return max(1.0, seen / clips / block["score_epochs"])


def memory(stage: str, settings: Mapping[str, Any], encoder: Encoder | Features, size: Size, gpu: bool) -> float:
    """Peak main memory of a job, in bytes."""
    width, both = 4 * encoder.width, size.train + size.test
    if isinstance(encoder, Encoder) and stage in OPTIMISED:
        block = settings["finetune" if stage == "semi" else stage]
        clips = both if stage in ("finetune", "semi") else size.train
        return READING + CLIP * clips + (0 if gpu else _step(block, encoder))
    if stage == "embed":
        return READING + CLIP * max(size.train, size.test) + width * size.train * len(settings["outputs"])
    if stage in ("linear", "joints"):
        return READING + CLIP * size.train
    if stage in COPIES:
        return WITH_TORCH + SEARCH + COPIES[stage] * width * both
    if stage == "map":
        return WITH_TORCH + 8.0 * min(size.test, settings["points"]) ** 2
    return resting(stage)


def resting(stage: str) -> float:
    """Main memory of a job whose data need little, in bytes."""
    if stage in LIGHT:
        return DRAWING if stage in DRAWN else PROCESS
    return WITH_TORCH


def _step(block: Mapping[str, Any], encoder: Encoder) -> float:
    """Bytes that a transformer step keeps for its backward pass on a CPU; on a GPU they are in GPU memory."""
    if encoder.backbone != TRANSFORMER:
        return 12.0 * encoder.parameters
    shape, number = encoder.shape, 2 if block["precision"] in ("bf16", "fp16") else 4
    tokens = block["optimiser"]["batch"] * BODIES * tokens_of(shape, JOINTS)
    return float(number * FREE_NUMBERS * tokens * shape.width * shape.depth)


def _frames(encoder: Encoder, clips: float) -> float:
    return BODIES * encoder.frames * clips
