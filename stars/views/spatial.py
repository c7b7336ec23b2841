"""Hand-crafted augmentations of stage 2 (paper §4.4, Tables 7, 8 and 10), a whole batch at a time, on the device that holds it.

Each clip has its own draw, the same for all its frames and bodies; but for joints that change places, what is drawn is one 3 × 3 matrix.
The paper names the augmentations and gives no numbers: what they do and how strongly is that of the implementation their names come from
(Guo et al., AimCLR, AAAI 2022). Rotation stands in `stars.views.crop`.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from stars.config import Augment
from stars.data.device import sent
from stars.views.crop import mapped

Pairs = Sequence[tuple[int, int]]


def augment(x_bmtvc: Tensor, settings: Augment, mirror: Pairs, generator: Generator) -> Tensor:
    """Views (B, M, T, V, 3), each flipped, sheared and robbed of an axis as drawn; without any of these the views themselves.

    Args:
        mirror: left and right joint of each pair.
        generator: on the CPU, whatever the views' device, so that runs draw the same numbers everywhere.
    """
    count, matrices = len(x_bmtvc), []
    if settings.flip > 0:
        flipped_b = torch.rand(count, generator=generator) < settings.flip
        x_bmtvc = exchanged(x_bmtvc, flipped_b, mirror)
        matrices.append(reflection(flipped_b, settings.flip_axis))
    if settings.shear > 0:
        matrices.append(shear((2 * torch.rand(count, 6, generator=generator) - 1) * settings.shear))
    if settings.axis_mask > 0:
        masked_b = torch.rand(count, generator=generator) < settings.axis_mask
        matrices.append(axis_mask(masked_b, torch.randint(3, (count,), generator=generator)))
    if not matrices:
        return x_bmtvc
    matrix_bcc = functools.reduce(lambda before, after: after @ before, matrices)
    return mapped(x_bmtvc, matrix_bcc)


def exchanged(x_bmtvc: Tensor, chosen_b: Tensor, mirror: Pairs) -> Tensor:
    """The same clips, but that in the chosen ones, (B,) bool on the CPU, left and right joints change places."""
    rows, order = sent(chosen_b.nonzero().squeeze(1), x_bmtvc.device), torch.arange(x_bmtvc.shape[-2])
    for left, right in mirror:
        order[left], order[right] = right, left
    x_btmvc = x_bmtvc.transpose(1, 2)  # a crop's order in memory
    return x_btmvc.index_copy(0, rows, x_btmvc.index_select(0, rows).index_select(-2, sent(order, x_bmtvc.device))).transpose(1, 2)


def reflection(chosen_b: Tensor, axis: str | None) -> Tensor:
    """Matrices (B, 3, 3) that turn the sign of one coordinate ("x", "y", "z") in the chosen clips: with `exchanged` a mirror image.

    With `axis` None they turn none, and only names change, as in AimCLR.
    """
    signs_bc = torch.ones(len(chosen_b), 3)
    if axis is not None:
        signs_bc[chosen_b, "xyz".index(axis)] = -1
    return torch.diag_embed(signs_bc)


def shear(amounts_b6: Tensor) -> Tensor:
    """Matrices (B, 3, 3) with ones on the diagonal and the clip's six amounts elsewhere, row by row."""
    matrix_bcc = torch.eye(3).repeat(len(amounts_b6), 1, 1)
    matrix_bcc[:, [0, 0, 1, 1, 2, 2], [1, 2, 0, 2, 0, 1]] = amounts_b6
    return matrix_bcc


def axis_mask(chosen_b: Tensor, axes_b: Tensor) -> Tensor:
    """Matrices (B, 3, 3) that set one coordinate of the chosen clips, (B,) in 0 to 2, to zero."""
    kept_bc = ~(chosen_b[:, None] & (axes_b[:, None] == torch.arange(3)))
    return torch.diag_embed(kept_bc.float())
