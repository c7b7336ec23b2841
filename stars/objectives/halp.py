"""HaLP: momentum contrast of one stream with positives hallucinated in feature space (Shah et al., CVPR 2023)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from stars.backbones.base import Backbone
from stars.config.base import Count, Settings, key
from stars.objectives.base import Batch, Objective
from stars.objectives.cmd import SEQUENCE
from stars.objectives.contrast import Contrast, ContrastOptions, first_positive
from stars.objectives.hallucination import Hallucination, HallucinationOptions, Made, Schedule


class HalpOptions(HallucinationOptions, ContrastOptions):
    """HaLP's settings."""

    queue: Count = key(16384, "keys kept from earlier steps")


class Loss(Objective):
    """InfoNCE, and from `first_epoch` on −q · z / τ of hallucinated positives z. Metrics: mean cosine of the keys'
    positives; share of hallucinated positives kept."""

    Options = HalpOptions
    columns = ("positive_cosine", "kept")
    views: ClassVar = {"query": SEQUENCE, "key": SEQUENCE}

    def __init__(self, networks: Mapping[str, Backbone], options: HalpOptions, generator: torch.Generator) -> None:
        super().__init__(networks, options, generator)
        (network,) = networks.values()
        self.options, self.schedule = options, Schedule(options)
        self.contrast = Contrast(network, options, generator)
        self.hallucination = Hallucination(options, options, generator)

    @classmethod
    def passes(cls, options: Settings) -> tuple[int, int]:
        return 1, 1

    def heads(self) -> nn.ModuleDict:
        return self.contrast.heads()

    def before(self, networks: Mapping[str, Backbone], done: int, epoch: int) -> None:
        self.schedule.at(done, epoch)

    def forward(self, batch: Batch, networks: Mapping[str, Backbone]) -> tuple[Tensor, dict[str, Tensor]]:
        made = self.hallucination.drawn(len(batch.clips), batch.generator) if self.schedule.making else None
        return self.made(batch, networks, made)

    def made(
        self, batch: Batch, networks: Mapping[str, Backbone], made: Made | None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """A step with these random choices; None: contrast only."""
        (network,), contrast = networks.values(), self.contrast
        contrast.ema_update(network)
        keys_bd = contrast.keys(batch, "key")
        (y_bc,) = batch.features(network, "query")
        queries_bd = contrast.project(y_bc)
        loss = first_positive(contrast.logits(queries_bd, keys_bd))
        kept = torch.zeros_like(loss.detach())
        if made:
            drawn_closer, kept = self.hallucination(queries_bd, keys_bd, made)
            loss = loss + self.options.weight * drawn_closer
        contrast.queue.update(keys_bd, batch.clips)
        if self.schedule.refitting:
            self.hallucination.refit(contrast.queue, batch.generator)
        return loss, {"positive_cosine": (queries_bd.detach() * keys_bd).sum(1).mean(), "kept": kept}

    def reset_copies(self, networks: Mapping[str, Backbone]) -> None:
        self.contrast.reset_copies(next(iter(networks.values())))
