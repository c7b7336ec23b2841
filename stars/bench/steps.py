"""What is measured: steps of all trainings, and the plain baseline that they are compared with. Clips are random."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from torch import Tensor

from stars.backbones import bi_gru, narrow_attention
from stars.backbones.base import Backbone
from stars.backbones.transformer import Network
from stars.config import Model, Pretrain, Tune
from stars.data.bodies import unknown
from stars.evaluation import features
from stars.objectives import base
from stars.training import compiling, pretrain, train, tune
from stars.training.optimiser import optimiser_of
from stars.training.precision import float32_products
from stars.training.run import Step as TrainingStep
from stars.views.crop import Clips, View
from stars.views.spatial import Pairs
from stars.views.spec import make_views

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
    return _stepper(
        TrainingStep(model, clips, pretrain.step_settings(told)),
        optimiser_of(model.parts(), settings.optimiser),
        clips,
        settings.precision,
    )


def stage_2(shape: Model, settings: Tune, joints: int, mirror: Pairs, clips: Clips, compiled: bool = False) -> Step:
    """A step of stage 2, the teacher's included."""
    told = tune.TuneStage(seed=0, tune=settings, mirror=tuple(mirror))
    model = tune.tuning(Network(shape, joints), told).to(clips.device).train()
    with compiling.wanted(compiled):
        compiling.compile_blocks(model, settings.precision)
    optimiser = optimiser_of(model.parts(), settings.optimiser)
    step = _stepper(TrainingStep(model, clips, tune.step_settings(model, told)), optimiser, clips, settings.precision)

    def followed(batch: int, number: int) -> None:
        step(batch, number)
        model.objective.after(model.by_name, 1, 1)

    return followed


def of_method(settings: train.TrainStage, joints: int, clips: Clips) -> Step:
    """A step of a training with any backbone and objective."""
    model = train.new(settings, joints, clips.frames.shape[1]).to(clips.device).train()
    objective, optimiser = model.objective, optimiser_of(model.parts(), settings.train.optimiser)
    step = _stepper(
        TrainingStep(model, clips, train.step_settings(model, settings)), optimiser, clips, settings.train.precision
    )

    def whole(batch: int, number: int) -> None:
        objective.before(model.by_name, 0, 0)
        step(batch, number)
        objective.after(model.by_name, 1, 1)

    return whole


def _stepper(
    loss: Callable[[Tensor, torch.Generator], Tensor], optimiser: torch.optim.Optimizer, clips: Clips, precision: str
) -> Step:
    def step(batch: int, number: int) -> None:
        generator = torch.Generator().manual_seed(number)
        with float32_products(clips.device, precision):
            value = loss(torch.randperm(len(clips), generator=generator)[:batch], generator)
            optimiser.zero_grad(set_to_none=True)
            value.backward()
        optimiser.step()

    return step


def plain_attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None, **options: object) -> Tensor:
    """Softmax(QKᵀ/√d)·V with the whole attention matrix in memory; mask: bool, true where a key is seen."""
    scores = query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5
    return (scores if mask is None else scores.masked_fill(~mask, -torch.inf)).softmax(-1) @ value


def plain_features(network: Backbone, x_bmtvc: Tensor, *options: object, **more: object) -> Tensor:
    """Features of every body, empty ones too, each computed."""
    if network.whole_clips:
        return network(x_bmtvc)
    return network(x_bmtvc.flatten(0, 1)).unflatten(0, x_bmtvc.shape[:2]).mean(1)


def plain_outputs(network: bi_gru.Network, x_btn: Tensor) -> tuple[Tensor, Tensor]:
    """What a recurrent network makes of a sequence, frame by frame."""
    x_btc = network.norm(x_btn.transpose(1, 2)).transpose(1, 2)
    ends_bc: list[Tensor] = []
    for layer in range(network.depth):
        made_btc, ends_bc = [], []
        for direction in ("", "_reverse"):
            names = (f"{kind}_l{layer}{direction}" for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
            weights, state_bc = (
                [getattr(network.gru, name) for name in names],
                x_btc.new_zeros(len(x_btc), network.hidden),
            )
            turned = bool(direction) and network.backward
            states = []
            for frame_bc in reversed(x_btc.unbind(1)) if turned else x_btc.unbind(1):
                state_bc = torch.gru_cell(frame_bc, state_bc, *weights)
                states.append(state_bc)
            ends_bc.append(state_bc)
            made_btc.append(torch.stack(states[::-1] if turned else states, 1))
        x_btc = torch.cat(made_btc, 2)
    return x_btc, torch.cat(ends_bc, 1)


def plain_views(clips: Clips, rows: Tensor, *more: Any, **options: Any) -> dict[str, View]:
    """Views made clip by clip."""
    each = [make_views(clips, row[None], *more, **options) for row in rows]
    whole = {name: torch.cat([one[name].x_bmtvc for one in each]) for name in each[0]}
    return {name: View(x_bmtvc, unknown(x_bmtvc)) for name, x_bmtvc in whole.items()}


@contextmanager
def plain() -> Iterator[None]:
    """Inside, models run as the baseline does: attention not fused, every body computed, recurrence and views one by
    one.
    """
    with (
        mock.patch("torch.nn.functional.scaled_dot_product_attention", plain_attention),
        mock.patch.object(base, "clip_features", plain_features),
        mock.patch.object(features, "clip_features", plain_features),
        mock.patch.object(bi_gru.Network, "outputs", plain_outputs),
        mock.patch.object(train, "make_views", plain_views),
    ):
        yield


def with_pytorch_attention(step: Step) -> Step:
    """The same step with PyTorch's attention for narrow heads too."""

    def run(batch: int, number: int) -> None:
        with mock.patch.object(narrow_attention, "fits", _never):
            step(batch, number)

    return run


def _never(*inputs: Tensor) -> bool:
    return False


def as_baseline(step: Step) -> Step:
    """The same step, run plainly."""

    def run(batch: int, number: int) -> None:
        with plain():
            step(batch, number)

    return run
