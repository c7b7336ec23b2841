"""SkeletonCLR, momentum contrast of one stream (Li et al., CrosSCLR, CVPR 2021, §3.2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from stars.backbones.base import Backbone
from stars.config.base import Settings
from stars.objectives.base import Batch, Objective
from stars.objectives.contrast import Contrast, ContrastOptions, first_positive

NORMAL: list[object] = ["pad_crop", "shear"]


class Loss(Objective):
    """InfoNCE of two normal views. Metric: mean cosine of the positives."""

    Options = ContrastOptions
    columns = ("positive_cosine",)
    views: ClassVar = {"query": NORMAL, "key": NORMAL}

    def __init__(self, networks: Mapping[str, Backbone], options: ContrastOptions, generator: torch.Generator) -> None:
        super().__init__(networks, options, generator)
        (network,) = networks.values()
        self.contrast = Contrast(network, options, generator)

    @classmethod
    def passes(cls, options: Settings) -> tuple[int, int]:
        return 1, 1

    def heads(self) -> nn.ModuleDict:
        return self.contrast.heads()

    def forward(self, batch: Batch, networks: Mapping[str, Backbone]) -> tuple[Tensor, dict[str, Tensor]]:
        (network,), contrast = networks.values(), self.contrast
        contrast.ema_update(network)
        keys_bd = contrast.keys(batch, "key")
        (y_bc,) = batch.features(network, "query")
        queries_bd = contrast.project(y_bc)
        loss = first_positive(contrast.logits(queries_bd, keys_bd))
        contrast.queue.update(keys_bd, batch.clips)
        return loss, {"positive_cosine": (queries_bd.detach() * keys_bd).sum(1).mean()}

    def reset_copies(self, networks: Mapping[str, Backbone]) -> None:
        self.contrast.reset_copies(next(iter(networks.values())))
