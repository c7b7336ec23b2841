"""AimCLR: extreme augmentations, whose distribution follows that of normal ones (Guo et al., AAAI 2022)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from stars.backbones.base import Backbone
from stars.backbones.clips import counted_bodies
from stars.config.base import Settings
from stars.data.device import sent
from stars.objectives.base import Batch, Objective
from stars.objectives.contrast import Contrast, MiningOptions, distribution_loss, first_positive, mined, mined_positives
from stars.objectives.skeletonclr import NORMAL
from stars.training import parallel

EXTREME: list[object] = [*NORMAL, "swap", "rotate", "noise", "blur", "axis_mask"]
ATTENTION, ENERGY_FLOOR = 0.7, 1e-4  # values with at least this attention are dropped; keeps the energy finite


class Loss(Objective):
    """InfoNCE of the normal views, two distribution losses, and from `mining_epoch` on mined positives. Metric: mean
    cosine of the positives.
    """

    Options = MiningOptions
    columns = ("positive_cosine",)
    needs = "grid"
    views: ClassVar = {"extreme": EXTREME, "query": NORMAL, "key": NORMAL}

    def __init__(self, networks: Mapping[str, Backbone], options: MiningOptions, generator: torch.Generator) -> None:
        super().__init__(networks, options, generator)
        (network,) = networks.values()
        self.options, self.mining = options, False
        self.contrast = Contrast(network, options, generator)

    @classmethod
    def passes(cls, options: Settings) -> tuple[int, int]:
        return 2, 1

    def heads(self) -> nn.ModuleDict:
        return self.contrast.heads()

    def before(self, networks: Mapping[str, Backbone], done: int, epoch: int) -> None:
        self.mining = epoch >= self.options.mining_epoch

    def forward(self, batch: Batch, networks: Mapping[str, Backbone]) -> tuple[Tensor, dict[str, Tensor]]:
        (network,), contrast = networks.values(), self.contrast
        extreme, dropped = (contrast.project(y_bc) for y_bc in with_drop(batch, network, "extreme"))
        (y_bc,) = batch.features(network, "query")
        query = contrast.project(y_bc)
        contrast.ema_update(network)
        keys_bd = contrast.keys(batch, "key")
        normal, by_extreme, by_dropped = (contrast.logits(one, keys_bd) for one in (query, extreme, dropped))
        loss = normal_loss(normal, [normal, by_extreme, by_dropped], self.mining, self.options)
        p_normal = normal.softmax(1)
        loss = loss + (distribution_loss(p_normal, by_extreme) + distribution_loss(p_normal, by_dropped)) / 2
        contrast.queue.update(keys_bd, batch.clips)
        return loss, {"positive_cosine": (query.detach() * keys_bd).sum(1).mean()}

    def reset_copies(self, networks: Mapping[str, Backbone]) -> None:
        self.contrast.reset_copies(next(iter(networks.values())))


def normal_loss(normal_bk: Tensor, every: list[Tensor], mining: bool, options: MiningOptions) -> Tensor:
    """InfoNCE of the normal query, optionally with the positives mined by any query."""
    return mined_positives(mined(every, options.topk), normal_bk) if mining else first_positive(normal_bk)


def with_drop(batch: Batch, network: Backbone, view: str) -> tuple[Tensor, Tensor]:
    """Features (B, C) of a view, and of the same view without the values of highest attention."""
    x_bmtvc, bodies = batch.views[view]
    counted_bm = counted_bodies(bodies.absent_bm, batch.bodies)
    share_bm1 = sent(counted_bm / counted_bm.sum(1, keepdim=True), x_bmtvc.device)[..., None]
    with batch.arithmetic():
        grid_rtvc = network.grid(network.stream(x_bmtvc.flatten(0, 1)))
        made = [
            (network.pool(grid).float().unflatten(0, x_bmtvc.shape[:2]) * share_bm1).sum(1)
            for grid in (grid_rtvc, attended_dropped(grid_rtvc))
        ]
    plain_bc, dropped_bc = (parallel.gather(y_bc) for y_bc in made)
    return plain_bc, dropped_bc


def attended_dropped(grid_rtvc: Tensor) -> Tensor:
    """Drop the features of highest attention by time and joint: whole joints first, then single values; the rest is
    rescaled.

    Attention is the energy of SimAM (Yang et al., ICML 2021): per channel, the distance of a value from the mean over
    time and joints.
    """
    count = grid_rtvc.shape[1] * grid_rtvc.shape[2]
    apart = (grid_rtvc - grid_rtvc.mean((1, 2), keepdim=True)).square()
    attention = (apart / (4 * (apart.sum((1, 2), keepdim=True) / (count - 1) + ENERGY_FLOOR)) + 0.5).sigmoid()
    joints = attention.mean((1, 3), keepdim=True) < ATTENTION
    numbers = attention < ATTENTION
    return _enlarged(_enlarged(grid_rtvc, joints), numbers)


def _enlarged(grid_rtvc: Tensor, kept: Tensor) -> Tensor:
    return grid_rtvc * kept * (kept.numel() / kept.sum())
