"""Features of clips: averages a backbone's features over bodies, encoding each distinct body once."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from stars.backbones.base import Backbone
from stars.data.bodies import Bodies, bodies_seen
from stars.data.device import sent

CACHED = 4_000_000  # values in a layer's output; beyond it, the system allocates and zeroes new memory for each layer


def clip_features(
    network: Backbone,
    x_bmtvc: Tensor,
    bodies: str = "all",
    encode: Callable[[Tensor], Tensor] | None = None,
    distinct: bool = True,
    known: Bodies | None = None,
) -> Tensor:
    """Features of clips, (B, M, T, V, 3) → (B, C), averaged over bodies.

    Args:
        bodies: "all" includes absent (all-zero) bodies; "present" excludes them, but counts the first body of a clip
            without any. A backbone of whole clips always takes all.
        encode: bodies (R, T, V, 3) → (R, C), or clips → (B, C) for a backbone of whole clips; None: the backbone
            itself.
        distinct: encode each distinct body once, equivalent to encoding every row (including gradients) without per-row
            randomness. If the backbone normalises over the batch, every row is encoded in training.
        known: masks of absent bodies and copies; None: computed, which synchronises once on a GPU.
    """
    encode = encode or network
    if network.whole_clips:
        x_bmtvc = of_bodies(x_bmtvc, network.bodies)
        return torch.cat([encode(part_bmtvc) for part_bmtvc in x_bmtvc.split(_together(network, x_bmtvc))])
    known = known or bodies_seen(x_bmtvc)
    counted_bm = counted_bodies(known.absent_bm, bodies)
    once = distinct and not (network.training and network.normalises_batches)
    order_r, source_bm = distinct_bodies(known, counted_bm) if once else _every(counted_bm)
    share_bm = counted_bm / counted_bm.sum(1, keepdim=True)
    order_r, source_bm, share_bm = (sent(tensor, x_bmtvc.device) for tensor in (order_r, source_bm, share_bm))
    rows_rtvc = x_bmtvc.flatten(0, 1).index_select(0, order_r)
    made_rc = torch.cat([encode(part_rtvc) for part_rtvc in rows_rtvc.split(_together(network, rows_rtvc))])
    return (F.embedding(source_bm, made_rc) * share_bm[..., None]).sum(1)


def of_bodies(x_bmtvc: Tensor, bodies: int) -> Tensor:
    """Clips with exactly `bodies` bodies: further ones are dropped, missing ones are zeros."""
    if x_bmtvc.shape[1] >= bodies:
        return x_bmtvc[:, :bodies]
    return torch.cat([x_bmtvc, x_bmtvc.new_zeros(len(x_bmtvc), bodies - x_bmtvc.shape[1], *x_bmtvc.shape[2:])], 1)


def _together(network: Backbone, rows: Tensor) -> int:
    """Rows to encode at a time: all, or, on a CPU without a backward pass, as many as keep a layer's output in the
    caches.
    """
    if (
        rows.is_cuda
        or torch.is_grad_enabled()
        or not network.numbers_a_row
        or (network.training and network.normalises_batches)
    ):
        return max(1, len(rows))
    return max(1, CACHED // network.numbers_a_row)


def counted_bodies(absent_bm: Tensor, bodies: str) -> Tensor:
    """Bodies averaged into a clip's feature, (B, M) bool: all, or the present ones, or the first if all are absent."""
    if bodies == "all":
        return torch.ones_like(absent_bm)
    none_b1, first_m = absent_bm.all(1, keepdim=True), torch.arange(absent_bm.shape[1], device=absent_bm.device) == 0
    return ~absent_bm | (none_b1 & first_m)


def _every(counted_bm: Tensor) -> tuple[Tensor, Tensor]:
    """As `distinct_bodies`, with a separate row for every counted body."""
    source_bm = (counted_bm.flatten().cumsum(0) - 1).view_as(counted_bm)
    return counted_bm.flatten().nonzero().squeeze(1), source_bm.masked_fill(~counted_bm, 0)


def distinct_bodies(known: Bodies, counted_bm: Tensor) -> tuple[Tensor, Tensor]:
    """Bodies to encode, and the row of each body's result, in main memory.

    Returns indices among all B · M, int64 (R,): one absent body if any is counted, then every present body that is not
    a copy of its clip's first; and the row of each body, int64 (B, M), arbitrary for uncounted ones.
    """
    own_bm = ~(known.absent_bm | known.copied_bm)
    order_r = own_bm.flatten().nonzero().squeeze(1)
    source_bm = (own_bm.flatten().cumsum(0) - 1).view_as(own_bm)
    source_bm = torch.where(known.copied_bm, source_bm[:, :1], source_bm)
    empty = (known.absent_bm & counted_bm).flatten().nonzero().squeeze(1)[:1]
    return torch.cat([empty, order_r]), (source_bm + len(empty)).masked_fill(known.absent_bm, 0)
