"""HiCLR: stronger augmentations follow weaker ones, step by step (Zhang et al., AAAI 2023)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from stars.backbones.base import Backbone
from stars.config.base import Fraction, Settings, key
from stars.data.device import sent
from stars.objectives.aimclr import EXTREME, normal_loss
from stars.objectives.base import Batch, Objective
from stars.objectives.contrast import Contrast, MiningOptions, distribution_loss
from stars.objectives.skeletonclr import NORMAL


class HiClrOptions(MiningOptions):
    """HiCLR's settings."""

    masked_joints: Fraction = key(
        0.1, "share of the joints of every frame that are masked in the strongest view, rounded down"
    )


class Mask(nn.Module):
    """One learned number that replaces every masked coordinate."""

    def __init__(self) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.zeros(1))

    def forward(self, x_bmtvc: Tensor, hidden_tv: Tensor) -> Tensor:
        """Replace the hidden joints, bool (T, V), the same for all clips and bodies."""
        return torch.where(hidden_tv[:, :, None], self.value, x_bmtvc)


class Loss(Objective):
    """InfoNCE of the normal views; the extreme view follows the normal one, and the masked one follows the extreme one.
    Metric: mean cosine of the positives."""

    Options = HiClrOptions
    columns = ("positive_cosine",)
    needs = "grid"
    views: ClassVar = {"query": NORMAL, "key": NORMAL, "extreme": EXTREME, "masked": EXTREME}

    def __init__(self, networks: Mapping[str, Backbone], options: HiClrOptions, generator: torch.Generator) -> None:
        super().__init__(networks, options, generator)
        (network,) = networks.values()
        self.options, self.mining = options, False
        self.contrast, self.mask = Contrast(network, options, generator), Mask()

    @classmethod
    def passes(cls, options: Settings) -> tuple[int, int]:
        return 3, 1

    def heads(self) -> nn.ModuleDict:
        return nn.ModuleDict({**self.contrast.heads(), "mask": self.mask})

    def before(self, networks: Mapping[str, Backbone], done: int, epoch: int) -> None:
        self.mining = epoch >= self.options.mining_epoch

    def forward(self, batch: Batch, networks: Mapping[str, Backbone]) -> tuple[Tensor, dict[str, Tensor]]:
        (network,) = networks.values()
        order_tv = torch.rand(network.frames, network.joints, generator=batch.generator).argsort(1).argsort(1)
        return self.with_mask(batch, network, order_tv < int(network.joints * self.options.masked_joints))

    def with_mask(self, batch: Batch, network: Backbone, hidden_tv: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """A step in which these joints are masked, bool (T, V)."""
        contrast = self.contrast
        (normal_bc,) = batch.features(network, "query")
        (extreme_bc,) = batch.features(network, "extreme")
        queries = [contrast.project(y_bc) for y_bc in (normal_bc, extreme_bc, self._masked(batch, network, hidden_tv))]
        contrast.ema_update(network)
        keys_bd = contrast.keys(batch, "key")
        normal, extreme, masked = (contrast.logits(one, keys_bd) for one in queries)
        loss = normal_loss(normal, [normal, extreme, masked], self.mining, self.options)
        loss = (
            loss + (distribution_loss(normal.softmax(1), extreme) + distribution_loss(extreme.softmax(1), masked)) / 2
        )
        contrast.queue.update(keys_bd, batch.clips)
        return loss, {"positive_cosine": (queries[0].detach() * keys_bd).sum(1).mean()}

    def _masked(self, batch: Batch, network: Backbone, hidden_tv: Tensor) -> Tensor:
        x_bmtvc, bodies = batch.views["masked"]
        return batch.encoded(
            network, self.mask(network.stream(x_bmtvc), sent(hidden_tv, x_bmtvc.device)), bodies, network.encode
        )

    def reset_copies(self, networks: Mapping[str, Backbone]) -> None:
        self.contrast.reset_copies(next(iter(networks.values())))
