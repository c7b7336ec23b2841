"""Base classes of augmentations, the steps of a view: a step samples its parameters per clip on the CPU and applies
them to a batch on the batch's device, (B, M, T, V, 3) → the same shape. The result depends only on parameters and
clips.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Generator, Tensor

from stars.config.base import Settings
from stars.views.crop import mapped
from stars.views.spatial import Pairs

Draws = tuple[Any, ...]  # tensors on the CPU, clips first; for lists of steps, lists of these


class Augmentation(Settings):
    """One step of a view."""

    @property
    def keeps_bodies(self) -> bool:
        """Whether absent bodies and copies of the first body stay so."""
        return True

    @property
    def needs_mirror(self) -> bool:
        """Whether it has no effect without pairs of left and right joints."""
        return False

    def draw(self, shape: Sequence[int], generator: Generator) -> Draws:
        """Sample its random parameters for clips of shape (B, M, T, V, 3)."""
        raise NotImplementedError

    def apply(self, x_bmtvc: Tensor, draws: Draws, mirror: Pairs) -> Tensor:
        """Augment the clips with the sampled parameters; `mirror`: left and right joint of each pair."""
        raise NotImplementedError


class Linear(Augmentation):
    """A step that multiplies all points of a clip by one matrix."""

    def matrices(self, draws: Draws) -> Tensor:
        """Matrices (B, 3, 3)."""
        raise NotImplementedError

    def apply(self, x_bmtvc: Tensor, draws: Draws, mirror: Pairs) -> Tensor:
        return mapped(x_bmtvc, self.matrices(draws))
