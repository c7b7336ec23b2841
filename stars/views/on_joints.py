"""Augmentations of individual joints."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from stars.config.base import Count, Fraction, key
from stars.data.device import sent
from stars.views.augmentation import Augmentation, Draws
from stars.views.crop import mapped
from stars.views.spatial import Pairs, exchanged


class Swap(Augmentation):
    """Swaps left and right joints, without changing signs."""

    p: Fraction = key(0.5, "probability")

    @property
    def needs_mirror(self) -> bool:
        return self.p > 0

    def draw(self, shape: Sequence[int], generator: Generator) -> Draws:
        return (torch.rand(shape[0], generator=generator) < self.p,)

    def apply(self, x_bmtvc: Tensor, draws: Draws, mirror: Pairs) -> Tensor:
        return exchanged(x_bmtvc, draws[0], mirror)


class Noise(Augmentation):
    """Independent Gaussian noise on every number, absent bodies included."""

    std: float = key(0.01, "standard deviation, metres", ge=0)
    p: Fraction = key(0.5, "probability")

    @property
    def keeps_bodies(self) -> bool:
        return self.std == 0 or self.p == 0

    def draw(self, shape: Sequence[int], generator: Generator) -> Draws:
        chosen_b = torch.rand(shape[0], generator=generator) < self.p
        return (torch.randn(*shape, generator=generator) * (self.std * chosen_b)[:, None, None, None, None],)

    def apply(self, x_bmtvc: Tensor, draws: Draws, mirror: Pairs) -> Tensor:
        return x_bmtvc + sent(draws[0], x_bmtvc.device)


class Corrupt(Augmentation):
    """Sets random joints of each clip to zero, or multiplies them by one random matrix (CMD)."""

    share: Fraction = key(0.6, "share of the joints: 15 of 25")
    zero: Fraction = key(0.5, "probability of setting them to zero instead of multiplying them")

    def draw(self, shape: Sequence[int], generator: Generator) -> Draws:
        clips, joints = shape[0], shape[3]
        order_bv = torch.rand(clips, joints, generator=generator).argsort(1).argsort(1)
        chosen_bv = order_bv < round(self.share * joints)
        zero_b = torch.rand(clips, generator=generator) < self.zero
        matrix_bcc = (2 * torch.rand(clips, 3, 3, generator=generator) - 1) * ~zero_b[:, None, None]
        return chosen_bv, matrix_bcc

    def apply(self, x_bmtvc: Tensor, draws: Draws, mirror: Pairs) -> Tensor:
        chosen_bv = sent(draws[0], x_bmtvc.device)[:, None, None, :, None]
        return torch.where(chosen_bv, mapped(x_bmtvc, draws[1]), x_bmtvc)


class Offset(Augmentation):
    """Displaces random joints of each clip, each by one offset in all frames (Hi-TRS); absent bodies stay absent."""

    joints: Count = key(5, "number of joints; all if there are fewer")
    amplitude: float = key(0.2, "each coordinate of an offset is uniform in ± this, metres", ge=0)

    def draw(self, shape: Sequence[int], generator: Generator) -> Draws:
        clips, joints = shape[0], shape[3]
        chosen_bv = torch.rand(clips, joints, generator=generator).argsort(1).argsort(1) < self.joints
        return ((2 * torch.rand(clips, joints, 3, generator=generator) - 1) * self.amplitude * chosen_bv[..., None],)

    def apply(self, x_bmtvc: Tensor, draws: Draws, mirror: Pairs) -> Tensor:
        present_bm = (x_bmtvc != 0).flatten(2).any(2)
        return x_bmtvc + sent(draws[0], x_bmtvc.device)[:, None, None] * present_bm[..., None, None, None]
