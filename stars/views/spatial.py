"""Hand-crafted augmentations of stage 2 (paper §4.4, Tables 7, 8 and 10), for a batch on its device.

Parameters are sampled per clip and shared by its frames and bodies; except for swapped joints, they form one 3 × 3
matrix. The paper names the augmentations without numbers; definitions and strengths follow the implementation their
names come from (Guo et al., AimCLR, AAAI 2022). `stars.views.crop` implements rotation.
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
    """Flip, shear and mask an axis of views (B, M, T, V, 3) at random; returns the views themselves if none is enabled.

    Args:
        mirror: left and right joint of each pair.
        generator: on the CPU for any device, so that all devices use the same random numbers.
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
    """Swap left and right joints in the chosen clips, (B,) bool on the CPU."""
    rows, order = sent(chosen_b.nonzero().squeeze(1), x_bmtvc.device), torch.arange(x_bmtvc.shape[-2])
    for left, right in mirror:
        order[left], order[right] = right, left
    x_btmvc = x_bmtvc.transpose(1, 2)  # a crop's memory layout
    return x_btmvc.index_copy(
        0, rows, x_btmvc.index_select(0, rows).index_select(-2, sent(order, x_bmtvc.device))
    ).transpose(1, 2)


def reflection(chosen_b: Tensor, axis: str | None) -> Tensor:
    """Matrices (B, 3, 3) that negate one coordinate ("x", "y", "z") in the chosen clips: a mirror image, together with
    `exchanged`.

    With `axis` None they are identities, and only names are swapped, as in AimCLR.
    """
    signs_bc = torch.ones(len(chosen_b), 3)
    if axis is not None:
        signs_bc[chosen_b, "xyz".index(axis)] = -1
    return torch.diag_embed(signs_bc)


def shear(amounts_b6: Tensor) -> Tensor:
    """Matrices (B, 3, 3) with ones on the diagonal and the clip's six values elsewhere, row by row."""
    matrix_bcc = torch.eye(3).repeat(len(amounts_b6), 1, 1)
    matrix_bcc[:, [0, 0, 1, 1, 2, 2], [1, 2, 0, 2, 0, 1]] = amounts_b6
    return matrix_bcc


def axis_mask(chosen_b: Tensor, axes_b: Tensor) -> Tensor:
    """Matrices (B, 3, 3) that set one coordinate of the chosen clips, (B,) in 0 to 2, to zero."""
    kept_bc = ~(chosen_b[:, None] & (axes_b[:, None] == torch.arange(3)))
    return torch.diag_embed(kept_bc.float())
