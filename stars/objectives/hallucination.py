"""Hallucinated positives in feature space, between a key and prototypes of the queue (Shah et al., HaLP, CVPR 2023)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from stars.config.base import Count, Fraction, Settings, key
from stars.data.device import sent
from stars.errors import InputError
from stars.objectives.contrast import ContrastOptions
from stars.objectives.prototypes import angles, draws, prototypes
from stars.objectives.queue import Queue

TINY = 1e-8  # added to divisors


class HallucinationOptions(Settings):
    """Settings of the hallucinated positives and of their schedule."""

    first_epoch: int = key(
        201,
        "epochs of contrast only; the released code: 200, then until twice the queue's size in clips is processed, most"
        " of an epoch of NTU-60",
        ge=0,
    )
    weight: float = key(2.0, "weight of the hallucinated positives, μ", ge=0)
    prototypes: int = key(20, "number of cluster centres", ge=2)
    clustered: Count = key(256, "number of newest keys of the queue to cluster; at most all")
    refit_every: Count = key(10, "steps between two clusterings")
    targets: Count = key(
        20, "number of prototypes, nearest to a key after its own, that a positive can point to; at most all"
    )
    positives: Count = key(100, "positives per key")
    spread: Fraction = key(
        0.8,
        "λ: a positive lies 1 − spread to 1, uniformly, of the way to the point equally near to the target and to the"
        " key's own prototype",
    )


class Made(NamedTuple):
    """Random choices of a step: ranks of each key's targets (B, P), 1 being the nearest after its own; remaining
    share of the way (B, P).
    """

    ranks_bp: Tensor
    short_bp: Tensor


class Hallucination(nn.Module):
    """Prototypes of one network's queue, and the loss of the positives towards them."""

    prototypes_kd: Tensor

    def __init__(self, contrast: ContrastOptions, options: HallucinationOptions, generator: torch.Generator) -> None:
        super().__init__()
        self.options, self.temperature = options, contrast.temperature
        self.clustered = min(options.clustered, contrast.queue)
        if options.prototypes > self.clustered:
            raise InputError(
                f"objective: {options.prototypes} prototypes need as many keys, found {self.clustered}: lower"
                " prototypes, or raise queue or clustered"
            )
        random_kd = torch.randn(options.prototypes, contrast.dimension, generator=generator)
        self.register_buffer("prototypes_kd", normalize(random_kd, dim=1))

    def drawn(self, clips: int, generator: torch.Generator) -> Made:
        """Random choices of a step, on the CPU."""
        shape, targets = (clips, self.options.positives), min(self.options.targets, self.options.prototypes - 1)
        return Made(
            torch.randint(1, 1 + targets, shape, generator=generator),
            torch.rand(shape, generator=generator) * self.options.spread,
        )

    def forward(self, queries_bd: Tensor, keys_bd: Tensor, made: Made) -> tuple[Tensor, Tensor]:
        """Mean of −q · z / τ over the kept positives (those nearest to their key's own prototype), and the share
        kept.
        """
        ranks_bp, short_bp = (sent(tensor, keys_bd.device) for tensor in made)
        nearest_bk = (keys_bd @ self.prototypes_kd.T).argsort(1, descending=True)
        own_b1 = nearest_bk[:, :1]
        targets_bpd = self.prototypes_kd[nearest_bk.gather(1, ranks_bp)]
        z_bpd = hallucinated(keys_bd, self.prototypes_kd[own_b1], targets_bpd, 1 - short_bp)
        kept_bp = (z_bpd @ self.prototypes_kd.T).argmax(2) == own_b1
        cosines_bp = (queries_bd[:, None] * z_bpd).sum(2)
        return -(cosines_bp * kept_bp).sum() / kept_bp.sum().clamp(min=1) / self.temperature, kept_bp.float().mean()

    def refit(self, queue: Queue, generator: torch.Generator) -> None:
        """Recompute the prototypes from the queue's newest keys."""
        self.prototypes_kd.copy_(
            prototypes(queue.newest(self.clustered), draws(self.clustered, self.options.prototypes, generator))
        )


class Schedule:
    """Determines when positives are used and when prototypes are recomputed."""

    def __init__(self, options: HallucinationOptions) -> None:
        self.options, self.making, self.refitting = options, False, False

    def at(self, done: int, epoch: int) -> None:
        """Called before a step; prototypes are computed one epoch ahead."""
        self.making = epoch >= self.options.first_epoch
        self.refitting = epoch >= self.options.first_epoch - 1 and done % self.options.refit_every == 0


@torch.no_grad()
def hallucinated(keys_bd: Tensor, own_b1d: Tensor, targets_bpd: Tensor, share_bp: Tensor) -> Tensor:
    """Unit vectors (B, P, D) on the arcs from keys to targets.

    Args:
        keys_bd, targets_bpd: start and end of the arcs; own_b1d: the prototype nearest to the key.
        share_bp: share of the arc up to the point equally near to the target and to the key's own prototype.
    """
    keys_b1d = keys_bd[:, None]
    angle_bp = angles((keys_b1d * targets_bpd).sum(2))
    ratio_bp = (1 - (own_b1d * targets_bpd).sum(2)) / ((keys_b1d * (own_b1d - targets_bpd)).sum(2) + TINY)
    gone_bp = share_bp * (angle_bp.sin() / (ratio_bp + angle_bp.cos() + TINY)).atan()
    return normalize((angle_bp - gone_bp).sin()[..., None] * keys_b1d + gone_bp.sin()[..., None] * targets_bpd, dim=2)
