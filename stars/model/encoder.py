"""The encoder f_θ (paper §3.2), and the features of a clip: its tokens averaged."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stars.config import Model
from stars.data.bodies import Bodies, bodies_seen
from stars.data.sending import sent
from stars.model.initialise import init_
from stars.model.streams import Stream
from stars.model.transformer import Block, Blocks, PatchEmbedding, Positions, split_segments, take_tokens

CACHED = 4_000_000  # numbers of a layer's output; with more, memory is asked from the system and cleared anew for each layer


class Encoder(nn.Module):
    """Transformer over the L = T/l · V tokens of one body; bodies are rows of the batch and never attend to each other."""

    def __init__(self, shape: Model, joints: int, parents: tuple[int, ...] = ()):
        super().__init__()
        self.shape, self.joints, self.parents = shape, joints, parents
        self.stream = Stream(shape.stream, joints, parents)
        self.embed = PatchEmbedding(shape.segment, shape.width)
        self.positions = Positions(shape.frames // shape.segment, joints, shape.width)
        self.blocks = Blocks(Block(shape.width, shape.heads, shape.hidden) for _ in range(shape.depth))
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
        return self.norm(self.blocks(self.tokens(x_rtvc, keep)))


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
    known: Bodies | None = None,
) -> Tensor:
    """Features of whole clips, (B, M, T, V, 3) → (B, C): pooled tokens of each body, averaged over bodies.

    Args:
        bodies: "all" averages absent (all-zero) bodies in; "present" leaves them out, a clip with none counting its first body.
        pool: (tokens (R, L, C), joints) → (R, features) of each body.
        distinct: encode each distinct body once: equal to encoding every row, gradients included, unless something is drawn for each row.
        known: which bodies are absent or copies; None: they are looked at, which on a GPU waits for it once.
    """
    known = known or bodies_seen(x_bmtvc)
    counted_bm = counted_bodies(known.absent_bm, bodies)
    order_r, source_bm = distinct_bodies(known, counted_bm) if distinct else _every(counted_bm)
    share_bm = counted_bm / counted_bm.sum(1, keepdim=True)
    order_r, source_bm, share_bm = (sent(tensor, x_bmtvc.device) for tensor in (order_r, source_bm, share_bm))
    rows_rtvc = x_bmtvc.flatten(0, 1).index_select(0, order_r)
    pooled_rc = torch.cat([pool(encoder(part_rtvc), encoder.joints) for part_rtvc in rows_rtvc.split(_together(encoder, rows_rtvc))])
    return (F.embedding(source_bm, pooled_rc) * share_bm[..., None]).sum(1)


def _together(encoder: Encoder, rows_rtvc: Tensor) -> int:
    """Rows to encode at a time: all, but where a CPU keeps nothing for a backward pass so many that a layer's output stays in its caches."""
    if rows_rtvc.is_cuda or torch.is_grad_enabled():
        return max(1, len(rows_rtvc))
    _, frames, joints, _ = rows_rtvc.shape
    return max(1, CACHED // (frames // encoder.shape.segment * joints * encoder.shape.hidden))


def counted_bodies(absent_bm: Tensor, bodies: Literal["all", "present"]) -> Tensor:
    """Bodies averaged into a clip's feature, (B, M) bool: all, or those that are not absent, the first body where all are."""
    if bodies == "all":
        return torch.ones_like(absent_bm)
    none_b1, first_m = absent_bm.all(1, keepdim=True), torch.arange(absent_bm.shape[1], device=absent_bm.device) == 0
    return ~absent_bm | (none_b1 & first_m)


def _every(counted_bm: Tensor) -> tuple[Tensor, Tensor]:
    """As `distinct_bodies`, but every counted body is a row of its own."""
    source_bm = (counted_bm.flatten().cumsum(0) - 1).view_as(counted_bm)
    return counted_bm.flatten().nonzero().squeeze(1), source_bm.masked_fill(~counted_bm, 0)


def distinct_bodies(known: Bodies, counted_bm: Tensor) -> tuple[Tensor, Tensor]:
    """Bodies worth encoding and where each body's result is found, in main memory.

    Returns their places among all B · M, int64 (R,): an absent one if any is counted, then every present one that is no copy of its clip's
    first; and the row of each body, int64 (B, M). What is not counted points to an arbitrary row.
    """
    own_bm = ~(known.absent_bm | known.copied_bm)
    order_r = own_bm.flatten().nonzero().squeeze(1)
    source_bm = (own_bm.flatten().cumsum(0) - 1).view_as(own_bm)
    source_bm = torch.where(known.copied_bm, source_bm[:, :1], source_bm)
    empty = (known.absent_bm & counted_bm).flatten().nonzero().squeeze(1)[:1]
    return torch.cat([empty, order_r]), (source_bm + len(empty)).masked_fill(known.absent_bm, 0)
