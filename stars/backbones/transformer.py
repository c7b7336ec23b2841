"""The encoder f_θ (paper §3.2): a transformer over the tokens of one body."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stars.backbones.attention import Block, Blocks, PatchEmbedding, Positions, split_segments, take_tokens
from stars.backbones.base import Backbone, Layers
from stars.backbones.initialise import init_
from stars.config import Model


class Network(Backbone):
    """Transformer over the L = T/l · V tokens of one body; bodies are rows of the batch, without attention between
    them.
    """

    Options = Model
    drop_path = 0.3  # as in the released fine-tuning of MAMP
    shape: Model

    def __init__(self, shape: Model, joints: int, parents: tuple[int, ...] = (), bodies: int = 1):
        super().__init__(shape, joints, parents, bodies)
        self.shape, self.width = shape, shape.width
        self.numbers_a_row = shape.frames // shape.segment * joints * shape.hidden
        self.embed = PatchEmbedding(shape.segment, shape.width)
        self.positions = Positions(shape.frames // shape.segment, joints, shape.width)
        self.blocks = Blocks(Block(shape.width, shape.heads, shape.hidden) for _ in range(shape.depth))
        self.norm = nn.LayerNorm(shape.width)
        init_(self)

    def embedded(self, seen_rtvc: Tensor, keep: Tensor | None = None) -> Tensor:
        """Tokens with position embeddings before the first block.

        Args:
            seen_rtvc: bodies (R, T, V, 3) in metres, in the stream.
            keep: int64 (R, K), tokens of each row to embed, in this order; None: all L.

        Returns (R, K or L, C).
        """
        patches, positions = split_segments(seen_rtvc, self.shape.segment), self.positions()
        if keep is not None:
            # F.embedding, since the gradient of positions[keep] is not deterministic on several CPU threads.
            patches, positions = take_tokens(patches, keep), F.embedding(keep, positions)
        return self.embed(patches) + positions

    def tokens(self, x_rtvc: Tensor, keep: Tensor | None = None) -> Tensor:
        """Y_θ: bodies (R, T, V, 3) → (R, K or L, C) after the final LayerNorm; `keep` as in `embedded`."""
        return self._normed(self.stream(x_rtvc), keep)

    def encode(self, seen: Tensor) -> Tensor:
        """Tokens averaged over time and joints, (R, C), used by KNN, linear probe and tuning (paper §3.3)."""
        return self._normed(seen).mean(1)

    def grid(self, seen: Tensor) -> Tensor:
        """Features by time and joint, (R, T/l, V, C)."""
        return self._normed(seen).unflatten(1, (-1, self.joints))

    def _normed(self, seen_rtvc: Tensor, keep: Tensor | None = None) -> Tensor:
        return self.norm(self.blocks(self.embedded(seen_rtvc, keep)))

    @property
    def classifier_width(self) -> int:
        """V · C."""
        return self.joints * self.width

    def for_classifier(self, x: Tensor, dropout: nn.Module) -> Tensor:
        """Tokens averaged over time, joints concatenated, (R, V·C): the input of fine-tuning, as in the released
        MAMP.
        """
        return dropout(self.tokens(x)).unflatten(1, (-1, self.joints)).mean(1).flatten(1)

    def drop_paths(self, rate: float) -> None:
        for block, own in zip(self.blocks, torch.linspace(0, rate, self.shape.depth).tolist(), strict=True):
            block.drop_path = own

    def layers(self) -> Layers:
        return Layers([self.embed, self.positions], list(self.blocks), [self.norm])
