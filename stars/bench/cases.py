"""The configurations that `stars bench` compares; the first of a group is the baseline of its ratios."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from stars.backbones.attention import attend
from stars.backbones.transformer import Network
from stars.bench.measure import Case, precisions
from stars.bench.steps import (
    Step,
    as_baseline,
    of_method,
    plain,
    plain_attention,
    random_clips,
    stage_1,
    stage_2,
    with_pytorch_attention,
)
from stars.config import Augment, Config, Embed, Pretrain, Sampling, Tune
from stars.config.reading import merge, nearest
from stars.data.dataset import Dataset
from stars.errors import InputError
from stars.evaluation.features import frozen_features
from stars.evaluation.knn import neighbours
from stars.pipeline import configuration
from stars.plan.encoder import Encoder, encoder_flops
from stars.plan.work import Size, amount
from stars.training.precision import half
from stars.training.train import TrainStage
from stars.views.crop import Clips, random_crop, random_view, rotate
from stars.views.spatial import augment

POOL = 256  # random clips that batches are drawn from, or more where a batch is larger


@dataclass(frozen=True)
class Bench:
    """What all configurations have in common.

    Attributes:
        config: whose model, stages and first data set are measured.
        batch: clips a round; single: share of clips with one body.
        device: cpu or cuda; compile: whether compiled steps are measured too.
    """

    config: Config
    batch: int
    single: float
    device: str
    compile: bool = False

    @property
    def described(self) -> Dataset:
        """The data set whose skeleton the random clips have."""
        return configuration.dataset(self.config, next(iter(self.config.data)))

    @property
    def joints(self) -> int:
        return len(self.described.joints)

    @property
    def bodies(self) -> float:
        """Bodies of a clip, on average."""
        return 2 - self.single

    def possible(self, cases: dict[str, dict[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
        """Those of the cases, by name, whose precision the device has: tf32 is a GPU's."""
        return [(name, changes) for name, changes in cases.items() if changes["precision"] in precisions(self.device)]

    def clips(self) -> Clips:
        """Random clips on the device."""
        return random_clips(max(POOL, self.batch), self.joints, self.single, self.device)

    def rows(self, number: int) -> Tensor:
        """The batch of a round."""
        return torch.randperm(max(POOL, self.batch), generator=torch.Generator().manual_seed(number))[: self.batch]


def train(bench: Bench) -> Iterator[Case]:
    """A step of stage 1 and of stage 2, plain and as configured, in each precision that the device has, and with
    each loss.
    """
    clips, shape = bench.clips(), bench.config.model

    def case(group: str, name: str, stage: str, settings: Pretrain | Tune, step: Step) -> Case:
        told = {stage: merge(settings.model_dump(mode="json"), {"optimiser": {"epochs": 1}})}
        operations = amount(stage, told, Encoder.transformer(shape), Size(bench.batch, 0, bench.bodies)).amount
        return Case(group, name, partial(step, bench.batch), bench.batch, operations, settings.precision)

    for name, changes in bench.possible(FIRST):
        first = Pretrain.model_validate(merge(bench.config.pretrain.model_dump(), changes))
        step = stage_1(shape, first, bench.joints, clips)
        yield case("stage 1", name, "pretrain", first, as_baseline(step) if name == BASELINE else step)
        if bench.compile and name == LAST[0]:
            yield case(
                "stage 1",
                f"{name}, compiled",
                "pretrain",
                first,
                stage_1(shape, first, bench.joints, clips, compiled=True),
            )
            if bench.device == "cuda":
                step = with_pytorch_attention(stage_1(shape, first, bench.joints, clips, compiled=True))
                yield case("stage 1", "compiled, PyTorch's attention", "pretrain", first, step)
    for name, changes in bench.possible(SECOND):
        second = Tune.model_validate(merge(bench.config.tune.model_dump(), changes))
        step = stage_2(shape, second, bench.joints, bench.described.mirror, clips)
        yield case("stage 2", name, "tune", second, as_baseline(step) if name == BASELINE else step)
        if bench.compile and name == LAST[1]:
            step = stage_2(shape, second, bench.joints, bench.described.mirror, clips, compiled=True)
            yield case("stage 2", f"{name}, compiled", "tune", second, step)


def methods(bench: Bench, names: Sequence[str]) -> Iterator[Case]:
    """A step of each method that is trained by `train`, plain and in both precisions. InputError for one that is
    not.
    """
    data = next(iter(bench.config.data))
    for name in names:
        if name not in bench.config.methods:
            raise InputError(f"--method: no method {name}{nearest(name, bench.config.methods)}")
        if configuration.method(bench.config, data, name).kind != "train":
            raise InputError(
                f"--method: {name} is not trained by `train`; for steps of stage 1 and 2 give --stage instead"
            )
    clips = bench.clips()
    for name in names:
        for case, precision in ((BASELINE, "fp32"), ("fp32", "fp32"), ("bf16", "bf16")):
            told = configuration.stage_settings(bench.config, "train", data, name)
            told = merge(
                told,
                {
                    "train": {
                        "precision": precision,
                        "optimiser": {
                            "epochs": 1,
                            "warmup_epochs": 0,
                            "min_lr": 0.0,
                            "schedule": "constant",
                            "steps": [],
                        },
                    }
                },
            )
            operations = amount(
                "train", told, Encoder.transformer(bench.config.model), Size(bench.batch, 0, bench.bodies)
            ).amount
            step = of_method(TrainStage.model_validate(told), bench.joints, clips)
            yield Case(
                name,
                case,
                partial(as_baseline(step) if case == BASELINE else step, bench.batch),
                bench.batch,
                operations,
                precision,
            )


BASELINE = "plain"
LAST = ("bf16, bodies: present", "bf16")  # of each stage, what is compiled too
FIRST: dict[str, dict[str, Any]] = {
    BASELINE: {"precision": "fp32", "bodies": "all"},
    "fp32": {"precision": "fp32", "bodies": "all"},
    "tf32": {"precision": "tf32", "bodies": "all"},
    "bf16": {"precision": "bf16", "bodies": "all"},
    "fp32, bodies: present": {"precision": "fp32", "bodies": "present"},
    "bf16, bodies: present": {"precision": "bf16", "bodies": "present"},
}
SECOND: dict[str, dict[str, Any]] = {
    BASELINE: {"precision": "fp32", "strategy": "nnclr"},
    "fp32": {"precision": "fp32", "strategy": "nnclr"},
    "tf32": {"precision": "tf32", "strategy": "nnclr"},
    "bf16": {"precision": "bf16", "strategy": "nnclr"},
    "bf16, moco": {"precision": "bf16", "strategy": "moco"},
    "bf16, dino": {"precision": "bf16", "strategy": "dino"},
}


def attention(bench: Bench) -> Iterator[Case]:
    """Forward and backward passes of attention in one block of the decoder of stage 1, of the bodies of a batch."""
    shape, rows = bench.config.model, round(bench.batch * bench.bodies)
    tokens, channels = shape.frames // shape.segment * bench.joints, shape.decoder_width // shape.heads
    qkv = torch.randn(rows, tokens, 3, shape.heads, channels, generator=torch.Generator().manual_seed(0)).to(
        bench.device
    )
    gradient = (
        torch.randn(rows, tokens, shape.heads, channels, generator=torch.Generator().manual_seed(1))
        .to(bench.device)
        .transpose(1, 2)
    )
    operations = 4.0 * rows * shape.heads * tokens**2 * channels

    def forward(work: Callable[..., Tensor], inputs: list[Tensor], number: int) -> None:
        work(*inputs)

    def backward(mixed: Tensor, inputs: list[Tensor], number: int) -> None:
        torch.autograd.grad(mixed, inputs, gradient.to(mixed.dtype), retain_graph=True)

    for group in ("forward", "backward"):
        for name, work, precision in ATTENTION:
            dtype = half(qkv.device) if precision == "bf16" else torch.float32
            inputs = [part.transpose(1, 2).to(dtype).requires_grad_() for part in qkv.unbind(2)]
            run = partial(forward, work, inputs) if group == "forward" else partial(backward, work(*inputs), inputs)
            yield Case(group, name, run, rows, operations if group == "forward" else 2 * operations, precision)


ATTENTION: tuple[tuple[str, Callable[..., Tensor], str], ...] = (
    ("plain", plain_attention, "fp32"),
    ("fp32", F.scaled_dot_product_attention, "fp32"),
    ("bf16, PyTorch's", F.scaled_dot_product_attention, "bf16"),
    ("bf16, as a training takes it", attend, "bf16"),
)


def encode(bench: Bench) -> Iterator[Case]:
    """Features of whole clips by a frozen encoder."""
    clips, shape = bench.clips(), bench.config.model
    encoder = Network(shape, bench.joints).to(bench.device).eval()
    views = partial(random_view, clips, frames=shape.frames, sampling=Sampling(rotation=0.0))
    operations = bench.batch * bench.bodies * encoder_flops(shape, bench.joints)

    def run(settings: Embed, number: int) -> None:
        frozen_features(
            encoder, *views(rows=bench.rows(number), generator=torch.Generator().manual_seed(number)), settings
        )

    def run_plainly(settings: Embed, number: int) -> None:
        with plain():
            run(settings, number)

    for name in (BASELINE, *reversed(precisions(bench.device))):
        work, precision = (run_plainly, "fp32") if name == BASELINE else (run, name)
        settings = bench.config.embed.model_copy(update={"precision": precision})
        yield Case("encoder", name, partial(work, settings), bench.batch, operations, precision)


def sample(bench: Bench) -> Iterator[Case]:
    """Training crops, clip by clip and a batch at a time."""
    clips, frames = bench.clips(), bench.config.model.frames
    plain_crop, turned = Sampling(rotation=0.0), Sampling(rotation=0.3)
    every, mirror = Augment(flip=0.5, shear=0.5, axis_mask=0.5), bench.described.mirror

    def crop(sampling: Sampling, settings: Augment, number: int) -> Tensor:
        generator = torch.Generator().manual_seed(number)
        return augment(random_crop(clips, bench.rows(number), frames, sampling, generator), settings, mirror, generator)

    yield Case(
        "sampling",
        "clip by clip",
        lambda number: crop_one_by_one(clips, bench.rows(number), frames, turned),
        bench.batch,
    )
    yield Case("sampling", "a batch", partial(crop, turned, Augment()), bench.batch)
    yield Case("sampling", "a batch, not rotated", partial(crop, plain_crop, Augment()), bench.batch)
    yield Case("sampling", "a batch, all augmentations", partial(crop, turned, every), bench.batch)


def crop_one_by_one(clips: Clips, rows: Tensor, frames: int, sampling: Sampling) -> Tensor:
    """What a data loader would do: cut, resize and rotate each clip by itself."""
    views = []
    for row in rows.tolist():
        valid, start = int(clips.lengths[row]), int(clips.starts[row])
        share = sampling.crop[0] + (sampling.crop[1] - sampling.crop[0]) * torch.rand(()).item()
        length = min(max(int(valid * share), sampling.min_frames), valid)
        first = start + int(torch.randint(valid - length + 1, ()))
        poses_ct = clips.frames[first : first + length].flatten(1).T[None]
        resized = F.interpolate(poses_ct, frames, mode="linear").squeeze(0).T.unflatten(1, clips.frames.shape[1:])
        angles = (2 * torch.rand(1, 3) - 1) * sampling.rotation
        views.append(rotate(resized.transpose(0, 1)[None], angles))
    return torch.cat(views)


def knn(queries: int, references: int, width: int, k: int, classes: int) -> Iterator[Case]:
    """The exact search of the KNN protocol, and the product and top-k alone that would not be exact. Features are
    noisy classes.
    """
    rng = np.random.default_rng(1)
    (known, labels), (asked, _) = (_clustered(count, width, classes, rng) for count in (references, queries))
    operations = 2.0 * queries * references * width

    def inexact(number: int) -> None:
        unit = [F.normalize(torch.from_numpy(features), dim=1) for features in (asked, known)]
        for rows in unit[0].split(512):
            (rows @ unit[1].T).topk(k)

    yield Case("search", "product and top-k, not exact", inexact, queries, operations)
    yield Case("search", "exact", lambda number: neighbours(asked, known, labels, k), queries, operations)


def _clustered(clips: int, width: int, classes: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Features (N, C) float32 around class centres, with similarities of the size a trained encoder's have, and
    labels (N,).
    """
    labels = rng.integers(classes, size=clips)
    centres = np.random.default_rng(0).standard_normal((classes, width), dtype=np.float32)
    return centres[labels] + rng.standard_normal((clips, width), dtype=np.float32), labels
