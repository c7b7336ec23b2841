"""Names and order of tensors in checkpoints of MS²L, and ours."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


def to_ours(encoder: Mapping[str, Tensor], joints: int, bodies: int) -> dict[str, Tensor]:
    """The encoder's tensors. A frame of theirs is x, y, z, of each the joints, of each of these the bodies; ours is joints, x, y, z, bodies."""
    order = frame_order(joints, bodies)
    return {name: value[:, order] if name.startswith("gru.weight_ih_l0") else value for name, value in encoder.items()}


def frame_order(joints: int, bodies: int) -> Tensor:
    """Where each value of our frame stands in theirs, (3 · joints · bodies,) int64."""
    return torch.arange(3 * joints * bodies).view(3, joints, bodies).transpose(0, 1).flatten()
