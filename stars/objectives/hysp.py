"""HYSP: one view predicts the other in hyperbolic space, where certain predictions lie further out and weigh more
(Franco et al., ICLR 2023).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from stars.backbones.base import Backbone
from stars.config.base import Count, Fraction, Settings, key
from stars.objectives.aimclr import EXTREME
from stars.objectives.base import Batch, Objective
from stars.objectives.skeletonclr import NORMAL
from stars.objectives.teacher import Teacher

RIM = 1 - 1e-5  # largest norm of a point of the ball


class HyspOptions(Settings):
    """HYSP's settings."""

    hidden: Count = key(1024, "hidden dimension of the projector and the predictor")
    dimension: Count = key(1024, "dimension of their output")
    momentum: Fraction = key(0.999, "momentum of the target network's update")
    curved_from: float = key(49.0, "epochs after which the hyperbolic distance begins to replace the cosine", ge=0)
    curved_at: float = key(99.0, "epochs after which it has replaced it", ge=0)


class Loss(Objective):
    """(1 − λ) · cosine distance + λ · Poincaré distance of each view's prediction to the other view's target, mean over
    both directions.

    Metrics: λ; mean distance of predictions from the ball's centre, from 0, uncertain, to 1.
    """

    Options = HyspOptions
    columns = ("curvature", "radius")
    views: ClassVar = {"one": EXTREME, "two": NORMAL}

    def __init__(self, networks: Mapping[str, Backbone], options: HyspOptions, generator: torch.Generator) -> None:
        super().__init__(networks, options, generator)
        (network,) = networks.values()
        self.options, self.curvature = options, 0.0
        self.projector = layers(network.width, options.hidden, options.dimension)
        self.predictor = layers(options.dimension, options.hidden, options.dimension)
        self.target = Teacher(network, self.projector)

    @classmethod
    def passes(cls, options: Settings) -> tuple[int, int]:
        return 2, 2

    def heads(self) -> nn.ModuleDict:
        return nn.ModuleDict({"projector": self.projector, "predictor": self.predictor})

    def before(self, networks: Mapping[str, Backbone], done: int, epoch: int) -> None:
        begin, end = self.options.curved_from, self.options.curved_at
        self.curvature = min(1.0, max(0.0, (epoch - begin) / (end - begin))) if end > begin else float(epoch >= end)

    def forward(self, batch: Batch, networks: Mapping[str, Backbone]) -> tuple[Tensor, dict[str, Tensor]]:
        (network,) = networks.values()
        queries = [self.predictor(self.projector(y_bc)) for y_bc in batch.features(network, "one", "two")]
        targets = self.target(batch, "one", "two")
        self.target.ema_update(network, self.projector, self.options.momentum)
        loss = torch.stack([self.apart(queries[0], targets[1]), self.apart(queries[1], targets[0])]).mean()
        radius = in_ball(queries[0].detach()).norm(dim=1).mean()
        return loss, {"curvature": torch.tensor(self.curvature), "radius": radius}

    def apart(self, query_bd: Tensor, target_bd: Tensor) -> Tensor:
        """The weighted distance, mean over the batch."""
        cosine = 2 - 2 * (normalize(query_bd, dim=1) * normalize(target_bd, dim=1)).sum(1).mean()
        if not self.curvature:
            return cosine
        hyperbolic = poincare(in_ball(query_bd), in_ball(target_bd)).mean()
        return ((1 - self.curvature) * cosine + self.curvature * hyperbolic).to(query_bd.dtype)

    def reset_copies(self, networks: Mapping[str, Backbone]) -> None:
        """Copy network and projector to the target again, after their weights were loaded."""
        (network,) = networks.values()
        self.target.ema_update(network, self.projector, 0.0)


def layers(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    """Linear – BatchNorm – ReLU – Linear."""
    return nn.Sequential(nn.Linear(inputs, hidden), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Linear(hidden, outputs))


def in_ball(x_bd: Tensor) -> Tensor:
    """The exponential map at the centre of the Poincaré ball, in float64: x → tanh ‖x‖ · x / ‖x‖."""
    x_bd = x_bd.double()
    norm_b1 = x_bd.norm(dim=1, keepdim=True).clamp(min=1e-15)
    return norm_b1.tanh().clamp(max=RIM) * x_bd / norm_b1


def poincare(one_bd: Tensor, other_bd: Tensor) -> Tensor:
    """Distances in the Poincaré ball (B,): arcosh(1 + 2 ‖x − y‖² / ((1 − ‖x‖²)(1 − ‖y‖²))) (HYSP, Eq. 2)."""
    apart_b = (one_bd - other_bd).square().sum(1)
    room_b = (1 - one_bd.square().sum(1)) * (1 - other_bd.square().sum(1))
    return (1 + 2 * apart_b / room_b + 1e-15).acosh()
