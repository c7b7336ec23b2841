"""Nearest-neighbour contrastive loss (paper §3.3, Eq. 5–6, Algorithm 1; after Dwibedi et al., ICCV 2021)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from stars.backbones.base import Backbone
from stars.config import Nnclr, Sampling, Settings
from stars.objectives.base import Batch, Objective
from stars.objectives.heads import projector_and_predictor
from stars.objectives.queue import Queue


def nnclr_loss(neighbours_bc: Tensor, predictions_bc: Tensor, temperature: float) -> Tensor:
    """Eq. 6, mean over the batch: −log of exp(NN(z_i)·z_i⁺/τ) / Σ_k exp(NN(z_i)·z_k⁺/τ).

    Args:
        neighbours_bc: NN(z, Q), L2-normalised (B, C); row i is the positive of prediction i.
        predictions_bc: z⁺, L2-normalised (B, C); the other rows of the batch are the negatives.
    """
    logits = neighbours_bc @ predictions_bc.T / temperature
    return cross_entropy(logits, torch.arange(len(logits), device=logits.device))


class Loss(Objective):
    """Projector, predictor and queue; a step in the order of Algorithm 1. Metrics of the neighbours: mean cosine; share
    of those from other clips that show the same action; share from the same clip."""

    Options = Nnclr
    views: ClassVar = {"first": ["crop"], "second": ["crop"]}
    columns = ("neighbour_cosine", "neighbour_agreement", "self_matches")

    def __init__(self, networks: Mapping[str, Backbone], options: Nnclr, generator: torch.Generator) -> None:
        super().__init__(networks, options, generator)
        (encoder,) = networks.values()
        width = encoder.width
        self.options = options
        self.projector, self.predictor = projector_and_predictor(width, options)
        self.queue = Queue(options.queue, width, options.queue_start, generator)

    @classmethod
    def passes(cls, options: Settings) -> tuple[int, int]:
        assert isinstance(options, Nnclr)
        return options.views, 0

    def crops(self, sampling: Sampling) -> dict[str, Sampling]:
        return dict.fromkeys(("first", "second")[: self.options.views], sampling)

    def heads(self) -> nn.ModuleDict:
        return nn.ModuleDict({"projector": self.projector, "predictor": self.predictor})

    def forward(self, batch: Batch, networks: Mapping[str, Backbone]) -> tuple[Tensor, dict[str, Tensor]]:
        (encoder,) = networks.values()
        g_views = [self.projector(y_bc) for y_bc in batch.features(encoder, *batch.views)]
        p_views = [normalize(self.predictor(g_bc), dim=1) for g_bc in g_views]
        if not self.options.symmetric:
            p_views[1:] = [p_bc.detach() for p_bc in p_views[1:]]
        z_views = [normalize(g_bc.detach(), dim=1) for g_bc in g_views]
        options = self.options
        found = [
            self.queue.nearest(z_bc, batch.clips, options.exclude_self, options.nearest, batch.generator)
            for z_bc in z_views
        ]
        # With one view, a neighbour is predicted from its own view; with two, from the other.
        losses = [
            nnclr_loss(neighbours_bc, p_bc, options.temperature)
            for (neighbours_bc, _), p_bc in zip(found, reversed(p_views), strict=True)
        ]
        self.queue.update(z_views[0], batch.clips)
        neighbours_bc, owners_b = found[0]
        cosine, own = (z_views[0] * neighbours_bc).sum(dim=1).mean(), (owners_b == batch.clips).float().mean()
        facts = {"neighbour_cosine": cosine, "neighbour_agreement": batch.agreement(owners_b), "self_matches": own}
        return torch.stack(losses).mean(), facts
