"""What is measured: steps of both stages, and the plain baseline that they are compared with. Clips are random."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from unittest import mock

import torch
from torch import Tensor

from stars.backbones.base import Backbone
from stars.backbones.transformer import Network
from stars.config import Model, Pretrain, Tune
from stars.evaluation import features
from stars.objectives import base
from stars.training import compiling, pretrain, tune
from stars.training.optimiser import optimiser_of
from stars.training.run import Step as TrainingStep
from stars.views.crop import Clips
from stars.views.spatial import Pairs

Step = Callable[[int, int], None]  # of a batch and a number, which decides the clips and all that is drawn


def random_clips(count: int, joints: int, single: float, device: str) -> Clips:
    """Clips of 64 to 128 frames and two bodies, the second empty in a share `single` of them."""
    generator = torch.Generator().manual_seed(0)
    lengths = torch.randint(64, 129, (count,), generator=generator)
    starts = lengths.cumsum(0) - lengths
    frames = torch.randn(int(lengths.sum()), 2, joints, 3, generator=generator) * 0.1
    alone = torch.randperm(count, generator=generator) < round(single * count)
    frames[torch.repeat_interleave(alone, lengths), 1] = 0
    return Clips(frames.to(device), starts, lengths, torch.zeros(count, dtype=torch.long, device=device))


def stage_1(shape: Model, settings: Pretrain, joints: int, clips: Clips, compiled: bool = False) -> Step:
    """A step of stage 1."""
    told = pretrain.PretrainStage(seed=0, model=shape, pretrain=settings)
    model = pretrain.untrained(told, joints).to(clips.device)
    with compiling.wanted(compiled):
        compiling.compile_blocks(model, settings.precision)
    return _stepper(TrainingStep(model, clips, pretrain.told(told)), optimiser_of(model.parts(), settings.optimiser), len(clips))


def stage_2(shape: Model, settings: Tune, joints: int, mirror: Pairs, clips: Clips, compiled: bool = False) -> Step:
    """A step of stage 2, the teacher's included."""
    told = tune.TuneStage(seed=0, tune=settings, mirror=tuple(mirror))
    model = tune.tuning(Network(shape, joints), told).to(clips.device).train()
    with compiling.wanted(compiled):
        compiling.compile_blocks(model, settings.precision)
    step = _stepper(TrainingStep(model, clips, tune.told(model, told)), optimiser_of(model.parts(), settings.optimiser), len(clips))

    def followed(batch: int, number: int) -> None:
        step(batch, number)
        model.objective.after(model.by_name, 1, 1)

    return followed


def _stepper(loss: Callable[[Tensor, torch.Generator], Tensor], optimiser: torch.optim.Optimizer, count: int) -> Step:
    def step(batch: int, number: int) -> None:
        generator = torch.Generator().manual_seed(number)
        value = loss(torch.randperm(count, generator=generator)[:batch], generator)
        optimiser.zero_grad(set_to_none=True)
        value.backward()
        optimiser.step()

    return step


def plain_attention(query: Tensor, key: Tensor, value: Tensor, **options: object) -> Tensor:
    """Softmax(QKᵀ/√d)·V with the whole attention matrix in memory."""
    return (query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5).softmax(-1) @ value


def plain_features(network: Backbone, x_bmtvc: Tensor, *options: object, **more: object) -> Tensor:
    """Features of every body, empty ones too, each computed."""
    return network(x_bmtvc.flatten(0, 1)).unflatten(0, x_bmtvc.shape[:2]).mean(1)


@contextmanager
def plain() -> Iterator[None]:
    """Inside, models run as the baseline does: attention not fused, every body computed."""
    with (
        mock.patch("torch.nn.functional.scaled_dot_product_attention", plain_attention),
        mock.patch.object(base, "clip_features", plain_features),
        mock.patch.object(features, "clip_features", plain_features),
    ):
        yield


def as_baseline(step: Step) -> Step:
    """The same step, run plainly."""

    def run(batch: int, number: int) -> None:
        with plain():
            step(batch, number)

    return run
