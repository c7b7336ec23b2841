"""SkeAttnCLR: contrasts the salient features according to attention, the others, and the whole clip (Hua et al.,
IJCAI 2023).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar

import torch
from pydantic import Field, model_validator
from torch import Generator, Tensor, nn
from torch.nn.functional import normalize

from stars.backbones.attention import Attention
from stars.backbones.base import Backbone
from stars.backbones.body import body_parts
from stars.backbones.clips import counted_bodies
from stars.config.base import Count, Fraction, Positive, Settings, key
from stars.data.bodies import Bodies
from stars.data.device import sent
from stars.errors import InputError
from stars.objectives.base import Batch, Objective
from stars.objectives.contrast import ContrastOptions, first_positive
from stars.objectives.mixing import STRIDE, drawn
from stars.objectives.queue import Queue
from stars.objectives.skeletonclr import NORMAL
from stars.objectives.teacher import Teacher, momentum_at
from stars.training import parallel

Joints = tuple[Annotated[int, Field(ge=0)], ...]


class SkeAttnClrOptions(ContrastOptions):
    """SkeAttnCLR's settings."""

    momentum: Fraction = key(0.996, "initial momentum of the key network's update; half a cosine raises it to 1")
    temperature: Positive = key(
        0.2, "temperature of the softmax over the positive, the queue and a clip's opposite features"
    )
    hidden: Count = key(256, "hidden dimension of the projector and the predictors")
    heads: Count = key(8, "attention heads of the mask; must divide the backbone's width")
    sharpness: Positive = key(2.0, "λ: factor of the attention's output before the sigmoid that turns it into a mask")
    salient: Fraction = key(0.5, "μ: weight of the salient features' contrast; the other features' is 1 − μ")
    parts: tuple[Joints, ...] | None = key(
        None, "joints of each body part; null: limbs and trunk, derived from the joints' parents"
    )
    mixed_parts: tuple[Count, Count] = key((3, 4), "smallest and largest number of body parts taken from another clip")
    mixed_steps: tuple[Count, Count] = key((4, 7), "smallest and largest number of steps, of four frames each, taken")

    @model_validator(mode="after")
    def _ordered(self) -> SkeAttnClrOptions:
        for name in ("mixed_parts", "mixed_steps"):
            fewest, most = getattr(self, name)
            if fewest > most:
                raise ValueError(f"{name} must be [smallest, largest], found [{fewest}, {most}]")
        if self.parts is not None and self.mixed_parts[1] > len(self.parts):
            raise ValueError(f"mixed_parts ({self.mixed_parts[1]}) must not be more than the {len(self.parts)} parts")
        return self


class Loss(Objective):
    """InfoNCE of two normal views + μ · InfoNCE of the salient features + (1 − μ) · InfoNCE of the others, of a clip
    mixed with parts of another.

    Metrics: mean cosine of the whole clips' positives, and the last two losses.
    """

    Options = SkeAttnClrOptions
    columns = ("positive_cosine", "salient_loss", "other_loss")
    needs = "grid"
    views: ClassVar = {"query": NORMAL, "key": NORMAL}

    def __init__(self, networks: Mapping[str, Backbone], options: SkeAttnClrOptions, generator: Generator) -> None:
        super().__init__(networks, options, generator)
        (network,) = networks.values()
        self.options, self.steps = options, steps_of(network)
        self.parts = body_parts(network.parents) if options.parts is None else options.parts
        check(options, self.parts, network)
        self.projector = head(network.width, options.hidden, options.dimension)
        self.mask = SalientMask(network.width, options.heads, options.sharpness)
        self.predictors = nn.ModuleDict(
            {name: head(options.dimension, options.hidden, options.dimension) for name in ("whole", "salient", "other")}
        )
        self.target = Teacher(network, self.projector)
        self.queue = Queue(options.queue, options.dimension, "random", generator)

    @classmethod
    def passes(cls, options: Settings) -> tuple[int, int]:
        return 2, 1

    def heads(self) -> nn.ModuleDict:
        return nn.ModuleDict({"projector": self.projector, "mask": self.mask, "predictors": self.predictors})

    def forward(self, batch: Batch, networks: Mapping[str, Backbone]) -> tuple[Tensor, dict[str, Tensor]]:
        (network,) = networks.values()
        return self.mixed(
            batch,
            network,
            drawn(1, max(1, len(batch.clips) - 2), batch.generator),
            self.place(network, batch.generator),
        )

    def place(self, network: Backbone, generator: Generator) -> Tensor:
        """Frames and joints to take from another clip, bool (T, V), the same for all clips: some parts over one
        span.
        """
        parts = torch.randperm(len(self.parts), generator=generator)[: drawn(*self.options.mixed_parts, generator)]
        length = drawn(*self.options.mixed_steps, generator)
        start = drawn(0, self.steps - length, generator)
        taken_tv = torch.zeros(network.frames, network.joints, dtype=torch.bool)
        taken_tv[
            STRIDE * start : STRIDE * (start + length), [joint for part in parts.tolist() for joint in self.parts[part]]
        ] = True
        return taken_tv

    def mixed(self, batch: Batch, network: Backbone, shift: int, taken_tv: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """A step in which each clip takes the frames and joints marked in bool (T, V) from the clip `shift` places
        further on.
        """
        (y_bc,) = batch.features(network, "query")
        salient_bc, other_bc, mask_rlc = self._split(batch, network, shift, taken_tv)
        features = {"whole": y_bc, "salient": salient_bc, "other": other_bc}
        queries = {
            name: normalize(self.predictors[name](self.projector(x_bc)), dim=1) for name, x_bc in features.items()
        }
        keys = self._keys(batch, mask_rlc)
        negatives_kd = self.queue.entries.clone()  # a clone: the queue changes before the backward pass
        losses = {name: self._contrast(queries, keys, name, negatives_kd) for name in queries}
        self.queue.update(keys["whole"], batch.clips)
        loss = losses["whole"] + self.options.salient * losses["salient"] + (1 - self.options.salient) * losses["other"]
        facts = {f"{name}_loss": losses[name].detach() for name in ("salient", "other")}
        return loss, {"positive_cosine": (queries["whole"].detach() * keys["whole"]).sum(1).mean(), **facts}

    def _split(self, batch: Batch, network: Backbone, shift: int, taken_tv: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Salient and other features (B, C) of the mixed clips, and the mask (R, L, C) of this process's bodies."""
        x_bmtvc, whole = batch.whole["query"]
        taken_tv1 = sent(taken_tv, x_bmtvc.device)[:, :, None]
        mixed_bmtvc = torch.where(taken_tv1, x_bmtvc.roll(-shift, 0), x_bmtvc)[parallel.share(len(x_bmtvc))]
        with batch.arithmetic():
            grid_rlc = places(network, mixed_bmtvc)
            mask_rlc = self.mask(grid_rlc)
            salient_rc, other_rc = split(grid_rlc, mask_rlc)
        absent_bm = (whole.absent_bm & whole.absent_bm.roll(-shift, 0))[parallel.share(len(x_bmtvc))]
        bodies = Bodies(absent_bm, torch.zeros_like(absent_bm))
        return of_clips(batch, salient_rc, bodies), of_clips(batch, other_rc, bodies), mask_rlc

    @torch.no_grad()
    def _keys(self, batch: Batch, mask_rlc: Tensor) -> dict[str, Tensor]:
        """Keys (B, D), unit vectors, of the whole clips and of their parts under the queries' mask."""
        x_bmtvc, bodies = batch.views["key"]
        with batch.arithmetic():
            grid_rlc = places(self.target.encoder, x_bmtvc)
            made = {
                "whole": grid_rlc.mean(1),
                **dict(zip(("salient", "other"), split(grid_rlc, mask_rlc), strict=True)),
            }
        return {name: normalize(self.target.head(of_clips(batch, y_rc, bodies)), dim=1) for name, y_rc in made.items()}

    def _contrast(
        self, queries: Mapping[str, Tensor], keys: Mapping[str, Tensor], name: str, negatives_kd: Tensor
    ) -> Tensor:
        """InfoNCE with the queue as negatives; for salient and other features also the same clip's opposite,
        detached.
        """
        own_bd, opposite = queries[name], {"salient": "other", "other": "salient"}.get(name)
        logits = [(own_bd * keys[name]).sum(1, keepdim=True), own_bd @ negatives_kd.T]
        if opposite:
            logits.append((own_bd * queries[opposite].detach()).sum(1, keepdim=True))
        return first_positive(torch.cat(logits, 1) / self.options.temperature)

    def after(self, networks: Mapping[str, Backbone], done: int, steps: int) -> None:
        (network,) = networks.values()
        self.target.ema_update(network, self.projector, momentum_at(done, steps, self.options.momentum, 1.0))

    def reset_copies(self, networks: Mapping[str, Backbone]) -> None:
        """Copy network and projector to the key side again, after their weights were loaded."""
        (network,) = networks.values()
        self.target.ema_update(network, self.projector, 0.0)


class SalientMask(nn.Module):
    """Saliency of each value of a body's features, from 0 to 1: sigmoid(λ · Attention(LN x)), (R, L, C) → the same."""

    def __init__(self, width: int, heads: int, sharpness: float) -> None:
        super().__init__()
        self.sharpness = sharpness
        self.norm, self.attention = nn.LayerNorm(width), Attention(width, heads)

    def forward(self, x_rlc: Tensor) -> Tensor:
        return (self.sharpness * self.attention(self.norm(x_rlc))).sigmoid()


def head(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    """Linear – BatchNorm – ReLU – Linear, without biases."""
    return nn.Sequential(
        nn.Linear(inputs, hidden, bias=False), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Linear(hidden, outputs, bias=False)
    )


def places(network: Backbone, x_bmtvc: Tensor) -> Tensor:
    """Features of every body by time and joint, flattened: (B, M, T, V, 3) → (R, L, C)."""
    return network.grid(network.stream(x_bmtvc.flatten(0, 1))).flatten(1, 2)


def split(grid_rlc: Tensor, mask_rlc: Tensor) -> tuple[Tensor, Tensor]:
    """Means (R, C) over all places of the salient and of the other features; they add up to the mean of all
    features.
    """
    return (grid_rlc * mask_rlc).mean(1), (grid_rlc * (1 - mask_rlc)).mean(1)


def of_clips(batch: Batch, y_rc: Tensor, bodies: Bodies) -> Tensor:
    """Features (R, C) of this process's bodies → (B, C) float32 of all processes' clips, means over bodies."""
    counted_bm = counted_bodies(bodies.absent_bm, batch.bodies)
    share_bm = sent(counted_bm / counted_bm.sum(1, keepdim=True), y_rc.device)
    return parallel.gather((y_rc.float().unflatten(0, share_bm.shape) * share_bm[..., None]).sum(1))


def steps_of(network: Backbone) -> int:
    """Number of steps in a clip; the last may be shorter."""
    return -(-network.frames // STRIDE)


def check(options: SkeAttnClrOptions, parts: Sequence[Sequence[int]], network: Backbone) -> None:
    """InputError unless the settings fit a network and its clips."""
    if network.width % options.heads:
        raise InputError(f"objective: heads ({options.heads}) must divide the backbone's width ({network.width})")
    if options.mixed_steps[1] > steps_of(network):
        raise InputError(
            f"objective: mixed_steps ({options.mixed_steps[1]}, of {STRIDE} frames each) do not fit into clips of"
            f" {network.frames} frames: lower it"
        )
    if options.mixed_parts[1] > len(parts):
        raise InputError(
            f"objective: mixed_parts ({options.mixed_parts[1]}) must not be more than the {len(parts)} body parts:"
            " lower it, or set parts"
        )
    if (last := max((joint for part in parts for joint in part), default=0)) >= network.joints:
        raise InputError(
            f"objective: parts contain joint {last}, but clips have joints 0 to {network.joints - 1}: set the parts of"
            " this skeleton"
        )
