"""A clip in the axes of its first body as it first stands (view-invariant transform of Predict & Cluster, Su et al.,
CVPR 2020, §3.1).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

SMALLEST = 1e-6  # metres; a shorter axis has no direction


def in_own_axes(x_bmtvc: Tensor, spine: int, next_up: int, left_hip: int, right_hip: int) -> Tensor:
    """Clips (B, M, T, V, 3): x across the hips, z along the spine, the origin at its base, as the first body has them
    in the first frame.

    A clip whose first frame has no body becomes zeros.
    """
    first_bvc = x_bmtvc[:, 0, 0]
    up_bc = normalize(first_bvc[:, next_up] - first_bvc[:, spine], dim=1, eps=SMALLEST)
    across_bc = first_bvc[:, left_hip] - first_bvc[:, right_hip]
    across_bc = normalize(across_bc - (across_bc * up_bc).sum(1, keepdim=True) * up_bc, dim=1, eps=SMALLEST)
    axes_bcc = torch.stack([across_bc, torch.linalg.cross(across_bc, up_bc), up_bc], dim=2)
    return torch.einsum("bmtvc,bcd->bmtvd", x_bmtvc - first_bvc[:, None, None, None, spine], axes_bcc)


def in_unit_box(x_bmtvc: Tensor) -> Tensor:
    """The same clips, each coordinate stretched to [−1, 1] over a clip's bodies, frames and joints."""
    low_bc, high_bc = x_bmtvc.amin((1, 2, 3), keepdim=True), x_bmtvc.amax((1, 2, 3), keepdim=True)
    return 2 * (x_bmtvc - low_bc) / (high_bc - low_bc).clamp(min=SMALLEST) - 1
