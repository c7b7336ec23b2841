"""Operations of an encoder per body or clip, and its size: by formula for the transformer, otherwise counted by
PyTorch.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from stars.config import Model
from stars.pipeline.resolve import TRANSFORMER

if TYPE_CHECKING:
    from stars.backbones.base import Backbone

JOINTS, BODIES = 25, 2  # of the published data sets; operations are nearly proportional to it
# a tree for a graph of that size
PARENTS = (1, 1, 20, 2, 20, 4, 5, 6, 20, 8, 9, 10, 0, 12, 13, 14, 0, 16, 17, 18, 20, 7, 7, 11, 11)


@dataclass(frozen=True)
class Features:
    """Features that no encoder of the method computes: joint positions, or those of several methods fused."""

    width: int  # numbers in a feature


@dataclass(frozen=True)
class Encoder:
    """A backbone with its settings, plain data."""

    backbone: str
    model: str  # JSON, so that equal models compare equal

    @classmethod
    def of(cls, backbone: str, model: Mapping[str, Any]) -> Encoder:
        """With these settings."""
        return cls(backbone, json.dumps(model, sort_keys=True))

    @classmethod
    def transformer(cls, shape: Model) -> Encoder:
        """A transformer of this shape."""
        return cls.of(TRANSFORMER, shape.model_dump(mode="json"))

    @cached_property
    def shape(self) -> Model:
        """Of a transformer."""
        return Model.model_validate_json(self.model)

    @cached_property
    def network(self) -> Backbone:
        """The network itself, of whatever kind, with random weights."""
        import torch

        from stars import backbones

        found = backbones.find(self.backbone)
        with torch.random.fork_rng(devices=[]):
            return found(found.Options.model_validate_json(self.model), JOINTS, PARENTS, BODIES)

    @cached_property
    def width(self) -> int:
        """Numbers in a feature."""
        return self.shape.width if self.backbone == TRANSFORMER else self.network.width

    @cached_property
    def frames(self) -> int:
        """Frames of its input clips."""
        return self.shape.frames if self.backbone == TRANSFORMER else self.network.frames

    @cached_property
    def parameters(self) -> int:
        """Numbers in encoder.safetensors."""
        if self.backbone == TRANSFORMER:
            return encoder_parameters(self.shape, JOINTS)
        return sum(tensor.numel() for tensor in self.network.state_dict().values())

    @cached_property
    def _pass(self) -> float:
        return encoder_flops(self.shape, JOINTS) if self.backbone == TRANSFORMER else self.network.flops()

    def clip(self, bodies: float) -> float:
        """Operations of a forward pass over a clip of so many bodies."""
        apart = self.backbone == TRANSFORMER or not self.network.whole_clips
        return self._pass * (bodies if apart else 1)

    def trained(self, blocks: int | None) -> float:
        """Fraction of its blocks that are trained if `blocks` of them are; None: half."""
        depth = self.shape.depth if self.backbone == TRANSFORMER else len(self.network.layers().blocks)
        return (depth // 2 if blocks is None else blocks) / depth


def encoder_flops(shape: Model, joints: int, visible: float = 1.0) -> float:
    """Forward pass of the encoder over this fraction of one body's tokens."""
    tokens = int(tokens_of(shape, joints) * visible)
    return shape.depth * block_flops(tokens, shape.width, shape.hidden)


def block_flops(tokens: int, width: int, hidden: int) -> float:
    """Forward pass of one transformer block: projections, feed-forward network, attention."""
    return 2 * tokens * (4 * width**2 + 2 * width * hidden) + 4 * tokens**2 * width


def tokens_of(shape: Model, joints: int) -> int:
    """Tokens of one body: joints times segments."""
    return shape.frames // shape.segment * joints


def encoder_parameters(shape: Model, joints: int) -> int:
    """Numbers in encoder.safetensors."""
    width, hidden = shape.width, shape.hidden
    block = 4 * width**2 + 2 * width * hidden + 9 * width + hidden
    tables = (joints + shape.frames // shape.segment) * width
    return shape.depth * block + (3 * shape.segment + 1) * width + tables + 2 * width
