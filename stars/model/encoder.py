"""The encoder f_θ (paper §3.2), and the features of a clip: its tokens averaged."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stars.config import Model
from stars.model.initialise import init_
from stars.model.streams import Stream
from stars.model.transformer import Block, PatchEmbedding, Positions, split_segments, take_tokens


class Encoder(nn.Module):
    """Transformer over the L = T/l · V tokens of one body; bodies are rows of the batch and never attend to each other."""

    def __init__(self, shape: Model, joints: int, parents: tuple[int, ...] = ()):
        super().__init__()
        self.shape, self.joints, self.parents = shape, joints, parents
        self.stream = Stream(shape.stream, joints, parents)
        self.embed = PatchEmbedding(shape.segment, shape.width)
        self.positions = Positions(shape.frames // shape.segment, joints, shape.width)
        self.blocks = nn.ModuleList(Block(shape.width, shape.heads, shape.hidden) for _ in range(shape.depth))
        self.norm = nn.LayerNorm(shape.width)
        init_(self)

    def tokens(self, x_rtvc: Tensor, keep: Tensor | None = None) -> Tensor:
        """Embedded tokens with their positions.

        Args:
            x_rtvc: bodies (R, T, V, 3) in metres.
            keep: int64 (R, K), tokens of each row to embed, in this order; None: all L.

        Returns (R, K or L, C).
        """
        patches, positions = split_segments(self.stream(x_rtvc), self.shape.segment), self.positions()
        if keep is not None:
            # F.embedding and not positions[keep]: the gradient of the latter adds in no fixed order on several CPU threads.
            patches, positions = take_tokens(patches, keep), F.embedding(keep, positions)
        return self.embed(patches) + positions

    def forward(self, x_rtvc: Tensor, keep: Tensor | None = None) -> Tensor:
        """Y_θ: (R, T, V, 3) → (R, K or L, C) after the final LayerNorm; `keep` as in `tokens`."""
        tokens = self.tokens(x_rtvc, keep)
        for block in self.blocks:
            tokens = block(tokens)
        return self.norm(tokens)


def mean_tokens(tokens_rlc: Tensor, joints: int) -> Tensor:
    """Mean over time and joints, (R, L, C) → (R, C): what KNN, linear probe and tuning use (paper §3.3)."""
    return tokens_rlc.mean(1)


def mean_time(tokens_rlc: Tensor, joints: int) -> Tensor:
    """Mean over time, joints side by side, (R, L, C) → (R, V·C): what fine-tuning uses."""
    return tokens_rlc.unflatten(1, (-1, joints)).mean(1).flatten(1)


def clip_features(
    encoder: Encoder,
    x_bmtvc: Tensor,
    bodies: Literal["all", "present"] = "all",
    pool: Callable[[Tensor, int], Tensor] = mean_tokens,
    distinct: bool = True,
) -> Tensor:
    """Features of whole clips, (B, M, T, V, 3) → (B, C): pooled tokens of each body, averaged over bodies.

    Args:
        bodies: "all" averages absent (all-zero) bodies in; "present" leaves them out, a clip with none counting its first body.
        pool: (tokens (R, L, C), joints) → (R, features) of each body.
        distinct: encode each distinct body once: equal to encoding every row, gradients included, unless something is drawn for each
            row. On a GPU the number of distinct bodies is asked for, which waits for the device once a call.
    """
    absent_bm = absent(x_bmtvc)
    counted_bm = counted_bodies(absent_bm, bodies)
    rows_rtvc, source_bm = distinct_bodies(x_bmtvc, absent_bm, counted_bm) if distinct else _every(x_bmtvc, counted_bm)
    pooled_rc = pool(encoder(rows_rtvc), encoder.joints)
    share_bm = counted_bm / counted_bm.sum(1, keepdim=True)
    return (F.embedding(source_bm, pooled_rc) * share_bm[..., None]).sum(1)


def absent(x_bmtvc: Tensor) -> Tensor:
    """Bodies that are all zeros, (B, M) bool."""
    return (x_bmtvc == 0).flatten(2).all(2)


def counted_bodies(absent_bm: Tensor, bodies: Literal["all", "present"]) -> Tensor:
    """Bodies averaged into a clip's feature, (B, M) bool: all, or those that are not absent, the first body where all are."""
    if bodies == "all":
        return torch.ones_like(absent_bm)
    none_b1, first_m = absent_bm.all(1, keepdim=True), torch.arange(absent_bm.shape[1], device=absent_bm.device) == 0
    return ~absent_bm | (none_b1 & first_m)


def _every(x_bmtvc: Tensor, counted_bm: Tensor) -> tuple[Tensor, Tensor]:
    """As `distinct_bodies`, but every counted body is a row of its own."""
    source_bm = (counted_bm.flatten().cumsum(0) - 1).view_as(counted_bm)
    return x_bmtvc[counted_bm], source_bm.masked_fill(~counted_bm, 0)


def distinct_bodies(x_bmtvc: Tensor, absent_bm: Tensor, counted_bm: Tensor) -> tuple[Tensor, Tensor]:
    """Rows worth encoding and where each body's result is found.

    Returns rows (R, T, V, 3): one all-zero row if a counted body is absent, then every present body that is no copy of its clip's first;
    and the row of each body, int64 (B, M). What is not counted points to an arbitrary row.
    """
    copied_bm = (x_bmtvc == x_bmtvc[:, :1]).flatten(2).all(2) & ~absent_bm
    copied_bm[:, 0] = False
    own_bm = ~(absent_bm | copied_bm)
    rows = x_bmtvc[own_bm]
    source_bm = own_bm.flatten().cumsum(0).view_as(own_bm)
    source_bm = torch.where(copied_bm, source_bm[:, :1], source_bm)
    if (absent_bm & counted_bm).any():
        rows = torch.cat([torch.zeros_like(x_bmtvc[:1, 0]), rows])
        return rows, source_bm.masked_fill(absent_bm, 0)
    return rows, (source_bm - 1).masked_fill(absent_bm, 0)
