"""What a step of a view is: a block of settings that draws on the CPU, for every clip by itself, and applies what it drew to a whole batch, on the
device that holds it, (B, M, T, V, 3) → the same. The result depends on draws and clips alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Generator, Tensor

from stars.config.base import Settings
from stars.views.crop import mapped
from stars.views.spatial import Pairs

Draws = tuple[Any, ...]  # tensors on the CPU, clips first; of lists of steps, lists of theirs


class Augmentation(Settings):
    """One step of a view."""

    @property
    def keeps_bodies(self) -> bool:
        """Whether a body that is all zeros, or equal to its clip's first, stays so."""
        return True

    @property
    def needs_mirror(self) -> bool:
        """Whether it does nothing without pairs of left and right joints."""
        return False

    def draw(self, shape: Sequence[int], generator: Generator) -> Draws:
        """What is random in it, for clips of the shape (B, M, T, V, 3)."""
        raise NotImplementedError

    def apply(self, x_bmtvc: Tensor, draws: Draws, mirror: Pairs) -> Tensor:
        """The clips, augmented as drawn; `mirror`: left and right joint of each pair."""
        raise NotImplementedError


class Linear(Augmentation):
    """A step that multiplies every point of a clip by one matrix."""

    def matrices(self, draws: Draws) -> Tensor:
        """(B, 3, 3)."""
        raise NotImplementedError

    def apply(self, x_bmtvc: Tensor, draws: Draws, mirror: Pairs) -> Tensor:
        return mapped(x_bmtvc, self.matrices(draws))
