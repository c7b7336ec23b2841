"""Momentum contrast of skeletons (He et al., MoCo, CVPR 2020), shared by CrosSCLR, AimCLR, HiCLR, ActCLR and CMD:
projector, key network and queue."""

from __future__ import annotations

import copy

import torch
from pydantic import model_validator
from torch import Tensor, nn
from torch.nn.functional import normalize

from stars.backbones.base import Backbone
from stars.config.base import Count, Fraction, Positive, Settings, key
from stars.objectives.base import Batch
from stars.objectives.queue import Queue
from stars.objectives.teacher import ema_update


class ContrastOptions(Settings):
    """Settings shared by these objectives."""

    dimension: Count = key(128, "dimension of queries and keys")
    queue: Count = key(32768, "keys kept from earlier steps")
    momentum: Fraction = key(0.999, "momentum of the key network's update")
    temperature: Positive = key(0.07, "temperature of the softmax over the positive and the queue")


class MiningOptions(ContrastOptions):
    """The same, with positives mined from the queue in later epochs."""

    mining_epoch: Count = key(150, "epochs after which the most similar entries of the queue count as positives")
    topk: Count = key(1, "entries mined by each query")

    @model_validator(mode="after")
    def _enough(self) -> MiningOptions:
        if self.topk > self.queue:
            raise ValueError(f"topk ({self.topk}) must not be more than queue ({self.queue})")
        return self


class Contrast(nn.Module):
    """Projector, key network and queue of keys of one network.

    Args:
        before: the contrast of another network, whose projector is the last part of this one's.
    """

    projector: nn.Sequential

    def __init__(
        self, network: Backbone, options: ContrastOptions, generator: torch.Generator, before: Contrast | None = None
    ) -> None:
        super().__init__()
        self.options = options
        last: nn.Module = nn.Linear(network.width, options.dimension) if before is None else before.projector
        self.projector = nn.Sequential(nn.Linear(network.width, network.width), nn.ReLU(), last)
        self.key_network = copy.deepcopy(network).requires_grad_(False)
        self.key_projector = copy.deepcopy(self.projector).requires_grad_(False)
        if before:  # its key projector is shared as well
            self.key_projector[2] = before.key_projector
        self.queue = Queue(options.queue, options.dimension, "random", generator)

    def project(self, y_bc: Tensor) -> Tensor:
        """Features (B, C) → queries (B, D), unit vectors."""
        return normalize(self.projector(y_bc), dim=1)

    def ema_update(self, network: Backbone) -> None:
        """Update the key network and projector towards the query's."""
        ema_update(self.key_network, network, self.options.momentum)
        ema_update(self.key_projector, self.projector, self.options.momentum)

    @torch.no_grad()
    def keys(self, batch: Batch, view: str) -> Tensor:
        """Keys (B, D) of a view, unit vectors."""
        (y_bc,) = batch.features(self.key_network, view)
        return normalize(self.key_projector(y_bc), dim=1)

    def similarities(self, queries_bd: Tensor) -> Tensor:
        """Similarities to the queue's current entries, (B, K)."""
        return queries_bd @ self.queue.entries.clone().T  # a clone: the queue changes before the backward pass

    def logits(self, queries_bd: Tensor, keys_bd: Tensor) -> Tensor:
        """(B, 1 + K), the positive first, over the temperature."""
        positive_b1 = (queries_bd * keys_bd).sum(1, keepdim=True)
        return torch.cat([positive_b1, self.similarities(queries_bd)], 1) / self.options.temperature

    def heads(self) -> nn.ModuleDict:
        """Trained heads."""
        return nn.ModuleDict({"projector": self.projector})

    def reset_copies(self, network: Backbone) -> None:
        """Copy network and projector to the key side again, after their weights were loaded."""
        self.key_network.load_state_dict(network.state_dict())
        self.key_projector.load_state_dict(self.projector.state_dict())


def first_positive(logits_bk: Tensor) -> Tensor:
    """InfoNCE, mean over the batch: −log softmax of the first logit, the positive."""
    return -logits_bk.log_softmax(1)[:, 0].mean()


def mined_positives(positive_bk: Tensor, logits_bk: Tensor) -> Tensor:
    """Mean over the batch of −log softmax, averaged over a row's positives. positive_bk: bool (B, 1 + K)."""
    return -((logits_bk.log_softmax(1) * positive_bk).sum(1) / positive_bk.sum(1)).mean()


def mined(logits: list[Tensor], topk: int) -> Tensor:
    """Positives, bool (B, 1 + K): the first, and the `topk` largest of the others in any of these logits."""
    positive_bk = torch.zeros_like(logits[0], dtype=torch.bool)
    positive_bk[:, 0] = True
    for logits_bk in logits:
        positive_bk.scatter_(1, 1 + logits_bk[:, 1:].topk(topk, dim=1).indices, True)
    return positive_bk


def distribution_loss(p_target_bk: Tensor, logits_bk: Tensor) -> Tensor:
    """Distribution loss (AimCLR, Eq. 8), mean over the batch: −Σ p_target · log softmax(logits), the target without
    gradient.
    """
    return -(p_target_bk.detach() * logits_bk.log_softmax(1)).sum(1).mean()
