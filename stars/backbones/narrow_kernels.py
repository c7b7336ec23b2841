"""Triton kernels of attention for narrow heads; `narrow_attention` imports them where it uses them, since Triton comes
with torch's CUDA build only.

Names: `query`, `key` and `value` point to (R, H, L, d) with the strides `row`, `head`, `token` and 1; everything that
is made, and `gradient`, to (R, L, H, d) without gaps; `logsumexp` and `sums` to float32 (R, H, L). Exponentials have
base 2, for which a GPU has an instruction: `slope` is log₂(e)/√d, and `logsumexp` that of the scores times `slope`. A
program computes one tile of one head.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def _place(tile: tl.constexpr, row, head, heads, length, WIDTH: tl.constexpr):
    """Of a program: its first token, where its head begins in (R, H, L, d), in (R, L, H, d) and in (R, H, L)."""
    tiles = tl.cdiv(length, tile)
    which = tl.program_id(0) // tiles
    body = (which // heads).to(tl.int64)
    given, made = body * row + which % heads * head, (body * length * heads + which % heads) * WIDTH
    return tl.program_id(0) % tiles * tile, given, made, which.to(tl.int64) * length


@triton.jit
def _load(start, tokens, stride, length, WIDTH: tl.constexpr):
    """(tokens, WIDTH) of a head, zero after the last token."""
    return tl.load(start + tokens[:, None] * stride + tl.arange(0, WIDTH), mask=tokens[:, None] < length, other=0.0)


@triton.jit
def _store(start, tile, tokens, stride, length, WIDTH: tl.constexpr):
    tl.store(
        start + tokens[:, None] * stride + tl.arange(0, WIDTH),
        tile.to(start.dtype.element_ty),
        mask=tokens[:, None] < length,
    )


@triton.jit
def _mix(
    q,
    key,
    value,
    first,
    best,
    total,
    mixed,
    token,
    length,
    slope,
    WIDTH: tl.constexpr,
    KEYS: tl.constexpr,
    LAST: tl.constexpr,
):
    """Largest score, sum of exponentials and weighted sum of values, carried on over a tile of keys. LAST: it goes
    beyond the last token.
    """
    tokens = first + tl.arange(0, KEYS)
    scores = tl.dot(q, tl.trans(_load(key, tokens, token, length, WIDTH)))
    if LAST:
        scores = tl.where(tokens[None, :] < length, scores, float("-inf"))
    higher = tl.maximum(best, tl.max(scores, 1) * slope)
    weights, fade = tl.exp2(scores * slope - higher[:, None]), tl.exp2(best - higher)
    v = _load(value, tokens, token, length, WIDTH)
    return higher, total * fade + tl.sum(weights, 1), tl.dot(weights.to(v.dtype), v, mixed * fade[:, None])


@triton.jit
def forward(
    query, key, value, mixed, logsumexp, row, head, token, heads, length, slope,
    WIDTH: tl.constexpr, QUERIES: tl.constexpr, KEYS: tl.constexpr,
):  # fmt: skip
    """softmax(QKᵀ/√d)·V of QUERIES tokens, and the logarithms of its denominators."""
    first, given, made, line = _place(QUERIES, row, head, heads, length, WIDTH)
    tokens = first + tl.arange(0, QUERIES)
    q = _load(query + given, tokens, token, length, WIDTH)
    best = tl.full([QUERIES], float("-inf"), tl.float32)
    total, sums = tl.zeros([QUERIES], tl.float32), tl.zeros([QUERIES, WIDTH], tl.float32)
    whole = length - length % KEYS  # only the last tile pays for comparing its tokens with the length
    for start in range(0, whole, KEYS):
        best, total, sums = _mix(
            q, key + given, value + given, start, best, total, sums, token, length, slope, WIDTH, KEYS, False
        )
    for start in range(whole, length, KEYS):
        best, total, sums = _mix(
            q, key + given, value + given, start, best, total, sums, token, length, slope, WIDTH, KEYS, True
        )
    _store(mixed + made, sums / total[:, None], tokens, heads * WIDTH, length, WIDTH)
    tl.store(logsumexp + line + tokens, best + tl.log2(total), mask=tokens < length)


@triton.jit
def _to_query(
    q,
    g,
    key,
    value,
    first,
    lse,
    sums,
    found,
    token,
    length,
    slope,
    WIDTH: tl.constexpr,
    KEYS: tl.constexpr,
    LAST: tl.constexpr,
):
    """dQ·√d, carried on over a tile of keys."""
    tokens = first + tl.arange(0, KEYS)
    k, v = _load(key, tokens, token, length, WIDTH), _load(value, tokens, token, length, WIDTH)
    weights = tl.exp2(tl.dot(q, tl.trans(k)) * slope - lse[:, None])
    if LAST:  # a key of zeros may have an infinite weight, and infinity times zero is not a number
        weights = tl.where(tokens[None, :] < length, weights, 0.0)
    changes = weights * (tl.dot(g, tl.trans(v)) - sums[:, None])
    return tl.dot(changes.to(k.dtype), k, found)


@triton.jit
def backward_query(
    query, key, value, mixed, gradient, logsumexp, sums, query_gradient, row, head, token, heads, length, slope, scale,
    WIDTH: tl.constexpr, QUERIES: tl.constexpr, KEYS: tl.constexpr,
):  # fmt: skip
    """dQ of QUERIES tokens, and the row sums of dO·O, which `backward_key_value` needs too."""
    first, given, made, line = _place(QUERIES, row, head, heads, length, WIDTH)
    tokens, width = first + tl.arange(0, QUERIES), heads * WIDTH
    q, g = _load(query + given, tokens, token, length, WIDTH), _load(gradient + made, tokens, width, length, WIDTH)
    total = tl.sum(g.to(tl.float32) * _load(mixed + made, tokens, width, length, WIDTH).to(tl.float32), 1)
    tl.store(sums + line + tokens, total, mask=tokens < length)
    lse = tl.load(logsumexp + line + tokens, mask=tokens < length, other=0.0)
    found = tl.zeros([QUERIES, WIDTH], tl.float32)
    whole = length - length % KEYS
    for start in range(0, whole, KEYS):
        found = _to_query(
            q, g, key + given, value + given, start, lse, total, found, token, length, slope, WIDTH, KEYS, False
        )
    for start in range(whole, length, KEYS):
        found = _to_query(
            q, g, key + given, value + given, start, lse, total, found, token, length, slope, WIDTH, KEYS, True
        )
    _store(query_gradient + made, found * scale, tokens, width, length, WIDTH)


@triton.jit
def backward_key_value(
    query, key, value, gradient, logsumexp, sums, key_gradient, value_gradient, row, head, token, heads, length, slope, scale,
    WIDTH: tl.constexpr, QUERIES: tl.constexpr, KEYS: tl.constexpr,
):  # fmt: skip
    """dK and dV of KEYS tokens. No score needs a mask: queries after the last are zero, as are their gradients; keys
    after it are not stored.
    """
    first, given, made, line = _place(KEYS, row, head, heads, length, WIDTH)
    tokens, width = first + tl.arange(0, KEYS), heads * WIDTH
    k, v = _load(key + given, tokens, token, length, WIDTH), _load(value + given, tokens, token, length, WIDTH)
    key_found, value_found = tl.zeros([KEYS, WIDTH], tl.float32), tl.zeros([KEYS, WIDTH], tl.float32)
    for start in range(0, length, QUERIES):
        asking = start + tl.arange(0, QUERIES)
        q, g = _load(query + given, asking, token, length, WIDTH), _load(gradient + made, asking, width, length, WIDTH)
        lse = tl.load(logsumexp + line + asking, mask=asking < length, other=0.0)
        total = tl.load(sums + line + asking, mask=asking < length, other=0.0)
        weights = tl.exp2(tl.dot(k, tl.trans(q)) * slope - lse[None, :])  # (KEYS, QUERIES)
        value_found = tl.dot(weights.to(g.dtype), g, value_found)
        changes = weights * (tl.dot(v, tl.trans(g)) - total[None, :])
        key_found = tl.dot(changes.to(q.dtype), q, key_found)
    _store(key_gradient + made, key_found * scale, tokens, width, length, WIDTH)
    _store(value_gradient + made, value_found, tokens, width, length, WIDTH)
