"""An exponential moving average of a network (He et al., MoCo, CVPR 2020, Eq. 2)."""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn

from stars.backbones.base import Backbone
from stars.objectives.base import Batch


class Teacher(nn.Module):
    """A copy of encoder and head without gradients."""

    def __init__(self, encoder: Backbone, head: nn.Module) -> None:
        super().__init__()
        self.encoder = copy.deepcopy(encoder).requires_grad_(False)
        self.head = copy.deepcopy(head).requires_grad_(False)

    @torch.no_grad()
    def forward(self, batch: Batch, *views: str) -> tuple[Tensor, ...]:
        """The head's output (B, ·) for each view."""
        return tuple(self.head(y_bc) for y_bc in batch.features(self.encoder, *views))

    def ema_update(self, encoder: Backbone, head: nn.Module, momentum: float) -> None:
        """`ema_update` of both."""
        ema_update(self.encoder, encoder, momentum)
        ema_update(self.head, head, momentum)


@torch.no_grad()
def ema_update(own: nn.Module, other: nn.Module, momentum: float) -> None:
    """Update weights to momentum · own + (1 − momentum) · other; buffers stay."""
    torch._foreach_lerp_(list(own.parameters()), list(other.parameters()), 1 - momentum)


def momentum_at(done: int, steps: float, start: float, end: float) -> float:
    """Momentum of the teacher's update after `done` of `steps` steps: half a cosine from `start` to `end` (DINO,
    §3.1).
    """
    return end - (end - start) * 0.5 * (1 + math.cos(math.pi * (done - 1) / steps))
