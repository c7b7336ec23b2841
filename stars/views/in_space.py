"""Augmentations that multiply all points of a clip by one matrix."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from pydantic import model_validator
from torch import Generator, Tensor

from stars.config.base import Fraction, Positive, key
from stars.views.augmentation import Draws, Linear
from stars.views.crop import rotation_matrix
from stars.views.spatial import axis_mask, shear


class Shear(Linear):
    """Shear: a matrix with ones on the diagonal and six random values elsewhere."""

    amplitude: float = key(0.5, "the six values are uniform in ± this", ge=0)

    def draw(self, shape: Sequence[int], generator: Generator) -> Draws:
        return ((2 * torch.rand(shape[0], 6, generator=generator) - 1) * self.amplitude,)

    def matrices(self, draws: Draws) -> Tensor:
        return shear(draws[0])


class Turn(Linear):
    """A rotation about the origin, as in masked prediction."""

    angle: float = key(0.3, "angle about each axis, uniform in ± this, radians", ge=0)

    def draw(self, shape: Sequence[int], generator: Generator) -> Draws:
        return ((2 * torch.rand(shape[0], 3, generator=generator) - 1) * self.angle,)

    def matrices(self, draws: Draws) -> Tensor:
        return rotation_matrix(draws[0])


class Rotate(Linear):
    """A rotation mostly about one random axis (AimCLR)."""

    angle: float = key(30.0, "angle about that axis, uniform from 0 to this, degrees", ge=0)
    others: float = key(1.0, "angles about the other two axes, uniform from 0 to this, degrees", ge=0)

    def draw(self, shape: Sequence[int], generator: Generator) -> Draws:
        main_b = torch.randint(3, (shape[0],), generator=generator)
        largest_b3 = torch.full((shape[0], 3), self.others).scatter_(1, main_b[:, None], self.angle)
        return (torch.rand(shape[0], 3, generator=generator) * largest_b3 * math.pi / 180,)

    def matrices(self, draws: Draws) -> Tensor:
        return rotation_matrix(draws[0])


class Scale(Linear):
    """All coordinates multiplied by one factor (Hi-TRS)."""

    factor: tuple[Positive, Positive] = key((0.8, 1.2), "range of the factor, sampled uniformly")

    @model_validator(mode="after")
    def _ordered(self) -> Scale:
        if self.factor[0] > self.factor[1]:
            raise ValueError(f"factor must be [smallest, largest], found {list(self.factor)}")
        return self

    def draw(self, shape: Sequence[int], generator: Generator) -> Draws:
        low, high = self.factor
        return (low + (high - low) * torch.rand(shape[0], generator=generator),)

    def matrices(self, draws: Draws) -> Tensor:
        return draws[0][:, None, None] * torch.eye(3)


class AxisMask(Linear):
    """One coordinate, x, y or z, set to zero."""

    p: Fraction = key(0.5, "probability")

    def draw(self, shape: Sequence[int], generator: Generator) -> Draws:
        return torch.rand(shape[0], generator=generator) < self.p, torch.randint(3, (shape[0],), generator=generator)

    def matrices(self, draws: Draws) -> Tensor:
        return axis_mask(*draws)
