"""Maps names and order of tensors in MS²L's checkpoints to ours."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


def to_ours(encoder: Mapping[str, Tensor], joints: int, bodies: int) -> dict[str, Tensor]:
    """The encoder's tensors. Their frames are ordered (xyz, joints, bodies), ours (joints, xyz, bodies)."""
    order = frame_order(joints, bodies)
    return {name: value[:, order] if name.startswith("gru.weight_ih_l0") else value for name, value in encoder.items()}


def frame_order(joints: int, bodies: int) -> Tensor:
    """Index in their frame of each value of ours, (3 · joints · bodies,) int64."""
    return torch.arange(3 * joints * bodies).view(3, joints, bodies).transpose(0, 1).flatten()
