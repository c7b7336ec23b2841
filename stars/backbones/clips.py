"""Features of clips: a backbone's features of each body, averaged; each distinct body is encoded once."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from stars.backbones.base import Backbone
from stars.data.bodies import Bodies, bodies_seen
from stars.data.device import sent

CACHED = 4_000_000  # numbers of a layer's output; with more, memory is asked from the system and cleared anew for each layer


def clip_features(
    network: Backbone,
    x_bmtvc: Tensor,
    bodies: str = "all",
    encode: Callable[[Tensor], Tensor] | None = None,
    distinct: bool = True,
    known: Bodies | None = None,
) -> Tensor:
    """Features of clips, (B, M, T, V, 3) → (B, C): those of each body, averaged over bodies.

    Args:
        bodies: "all" averages absent (all-zero) bodies in; "present" leaves them out, a clip with none counting its first body. A
            backbone of whole clips sees all.
        encode: bodies (R, T, V, 3) → (R, C), or clips → (B, C) where the backbone is of whole clips; None: the backbone itself.
        distinct: encode each distinct body once: equal to encoding every row, gradients included, unless something is drawn for each
            row. Where the backbone normalises over the batch, every row is encoded in training.
        known: which bodies are absent or copies; None: they are looked at, which on a GPU waits for it once.
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
    """The clips with so many bodies: further ones left out, missing ones absent, all zeros."""
    if x_bmtvc.shape[1] >= bodies:
        return x_bmtvc[:, :bodies]
    return torch.cat([x_bmtvc, x_bmtvc.new_zeros(len(x_bmtvc), bodies - x_bmtvc.shape[1], *x_bmtvc.shape[2:])], 1)


def _together(network: Backbone, rows: Tensor) -> int:
    """Rows to encode at a time: all, but where a CPU keeps nothing for a backward pass so many that a layer's output stays in its caches."""
    if rows.is_cuda or torch.is_grad_enabled() or not network.numbers_a_row or (network.training and network.normalises_batches):
        return max(1, len(rows))
    return max(1, CACHED // network.numbers_a_row)


def counted_bodies(absent_bm: Tensor, bodies: str) -> Tensor:
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
