"""Hand-crafted augmentations of stage 2 (paper §4.4, Tables 7, 8 and 10), a whole batch at a time, on the device that holds it.

Each clip has its own draw, the same for all its frames and bodies. The paper names them and gives no numbers: what they do and how strongly is
that of the implementation its names come from (Guo et al., AimCLR, AAAI 2022). Rotation stands in `stars.data.sampling`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from stars.config import Augment

Pairs = Sequence[tuple[int, int]]


def augment(x_bmtvc: Tensor, settings: Augment, mirror: Pairs, generator: Generator) -> Tensor:
    """Views (B, M, T, V, 3), each flipped, sheared and robbed of an axis as drawn; without any of these the views themselves.

    Args:
        mirror: left and right joint of each pair.
        generator: on the CPU, whatever the views' device, so that runs draw the same numbers everywhere.
    """
    count, device = len(x_bmtvc), x_bmtvc.device
    if settings.flip > 0:
        flipped_b = torch.rand(count, generator=generator) < settings.flip
        x_bmtvc = _where(flipped_b.to(device), flip(x_bmtvc, mirror, settings.flip_axis), x_bmtvc)
    if settings.shear > 0:
        amounts_b6 = (2 * torch.rand(count, 6, generator=generator) - 1) * settings.shear
        x_bmtvc = shear(x_bmtvc, amounts_b6.to(device))
    if settings.axis_mask > 0:
        masked_b = torch.rand(count, generator=generator) < settings.axis_mask
        axes_b = torch.randint(3, (count,), generator=generator)
        x_bmtvc = _where(masked_b.to(device), axis_mask(x_bmtvc, axes_b.to(device)), x_bmtvc)
    return x_bmtvc


def flip(x_bmtvc: Tensor, mirror: Pairs, axis: str | None) -> Tensor:
    """The mirror image: left and right joints change names, and the coordinate along `axis` ("x", "y", "z") its sign.

    With `axis` None only the names change, as in AimCLR. Twice is once too often: it gives the clip back.
    """
    order = list(range(x_bmtvc.shape[-2]))
    for left, right in mirror:
        order[left], order[right] = right, left
    signs = [-1.0 if name == axis else 1.0 for name in "xyz"]
    return x_bmtvc[..., order, :] * x_bmtvc.new_tensor(signs)


def shear(x_bmtvc: Tensor, amounts_b6: Tensor) -> Tensor:
    """Each clip's coordinates mixed by a matrix with ones on its diagonal and the clip's six amounts elsewhere, row by row."""
    matrix_bcc = torch.eye(3, device=x_bmtvc.device).repeat(len(x_bmtvc), 1, 1)
    matrix_bcc[:, [0, 0, 1, 1, 2, 2], [1, 2, 0, 2, 0, 1]] = amounts_b6
    return (x_bmtvc.flatten(1, 3) @ matrix_bcc.mT).view_as(x_bmtvc)


def axis_mask(x_bmtvc: Tensor, axes_b: Tensor) -> Tensor:
    """One coordinate of each clip, (B,) in 0 to 2, set to zero."""
    kept_bc = axes_b[:, None] != torch.arange(3, device=axes_b.device)
    return x_bmtvc * kept_bc[:, None, None, None]


def _where(chosen_b: Tensor, changed: Tensor, unchanged: Tensor) -> Tensor:
    return torch.where(chosen_b.view(-1, 1, 1, 1, 1), changed, unchanged)
