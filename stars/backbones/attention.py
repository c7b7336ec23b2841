"""Building blocks of encoder and decoder: segments, positions and the pre-norm transformer block (paper §3.2, §4.2)."""

from __future__ import annotations

from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx

from stars.backbones import narrow_attention

COORDINATES = 3
# Whether the CPU has matrix units for bf16 (AMX). It is a private name: where a version of torch lacks it, they are
# taken to be absent.
MATRIX_UNITS: bool = getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)()


def split_segments(x_rtvc: Tensor, segment: int) -> Tensor:
    """S' of paper §3.2: (R, T, V, 3) → (R, L, segment·3), one row a token l = t'·V + v, its values ordered (frame,
    xyz).
    """
    rows, frames, joints, coordinates = x_rtvc.shape
    split = x_rtvc.reshape(rows, frames // segment, segment, joints, coordinates)
    return split.transpose(2, 3).reshape(rows, -1, segment * coordinates)


def take_tokens(tokens_rlc: Tensor, index_rk: Tensor) -> Tensor:
    """Each row's tokens at its own indices, (R, L, C) and (R, K) → (R, K, C)."""
    return tokens_rlc.gather(1, index_rk[..., None].expand(-1, -1, tokens_rlc.shape[-1]))


class PatchEmbedding(nn.Linear):
    """One segment of one joint, (frame, xyz), to a token. The same map as a convolution over `segment` frames."""

    def __init__(self, segment: int, width: int):
        super().__init__(segment * COORDINATES, width)


class Positions(nn.Module):
    """Learned spatial (joint) and temporal (segment) tables, whose sum is a token's position."""

    def __init__(self, segments: int, joints: int, width: int):
        super().__init__()
        self.temporal = nn.Parameter(torch.zeros(segments, width))
        self.spatial = nn.Parameter(torch.zeros(joints, width))

    def forward(self) -> Tensor:
        """(L, C) in token order."""
        return (self.temporal[:, None] + self.spatial).flatten(0, 1)


class Attention(nn.Module):
    """Multi-head self-attention over all tokens of a row."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x_rlc: Tensor) -> Tensor:
        query, key, value = self.qkv(x_rlc).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        mixed_rhld = attend(query, key, value)
        return self.out(mixed_rhld.transpose(1, 2).flatten(2))


def attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
    """softmax(QKᵀ/√d)·V of each row and head, (R, H, L, d), by a fused kernel. mask: bool, true where a key is seen.

    On GPUs 16-bit inputs with heads of 16 or 32 channels and without a mask go to `narrow_attention`, where that works;
    all else goes to PyTorch's. On CPUs bf16 inputs are computed in whichever arithmetic was measured to be faster
    (docs/bench.md):

    - without AMX tiles (all CPUs but Intel's Xeons since Sapphire Rapids): forward and backward in float32, which is
      also returned (with AVX512-BF16 bf16 is a little faster forward, by too little for its rounding);
    - with AMX tiles: forward in bf16, backward in float32.
    """
    if mask is None and narrow_attention.fits(query, key, value):
        return narrow_attention.narrow_attention(query, key, value)
    if query.dtype != torch.bfloat16 or query.device.type != "cpu":
        return F.scaled_dot_product_attention(query, key, value, mask)
    trained = torch.is_grad_enabled() and (query.requires_grad or key.requires_grad or value.requires_grad)
    if MATRIX_UNITS and not trained:
        return F.scaled_dot_product_attention(query, key, value, mask)
    if MATRIX_UNITS and mask is None:
        mixed: Tensor = HalfForward.apply(query, key, value)
        return mixed
    with torch.autocast("cpu", enabled=False):
        return F.scaled_dot_product_attention(query.float(), key.float(), value.float(), mask)


class HalfForward(torch.autograd.Function):
    """Fused attention on a CPU, forward in bf16 and backward in float32 from the same rounded inputs."""

    @staticmethod
    def forward(ctx: FunctionCtx, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        mixed, logsumexp = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(query, key, value)
        ctx.save_for_backward(query, key, value, mixed, logsumexp)
        return cast(Tensor, mixed)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, ...]:
        *rounded, logsumexp = ctx.saved_tensors
        inputs = [tensor.float() for tensor in rounded]
        backward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward
        found = backward(gradient.float(), *inputs, logsumexp, 0.0, False)
        return tuple(tensor.to(gradient.dtype) for tensor in found)


class FeedForward(nn.Module):
    """Two layers with exact GELU between them."""

    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.widen = nn.Linear(width, hidden)
        self.narrow = nn.Linear(hidden, width)

    def forward(self, x_rlc: Tensor) -> Tensor:
        return self.narrow(F.gelu(self.widen(x_rlc)))


class Block(nn.Module):
    """Pre-norm transformer block: x + Attention(LN x), then x + FeedForward(LN x). (R, L, C) → (R, L, C).

    `drop_path` is the probability with which a row goes past a branch in training (stochastic depth, Huang et al. 2016,
    Eq. 2).
    """

    drop_path = 0.0

    def __init__(self, width: int, heads: int, hidden: int):
        super().__init__()
        self.attention_norm = nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.forward_norm = nn.LayerNorm(width)
        self.feed_forward = FeedForward(width, hidden)

    def forward(self, x_rlc: Tensor) -> Tensor:
        x_rlc = x_rlc + self._kept(self.attention(self.attention_norm(x_rlc)))
        return x_rlc + self._kept(self.feed_forward(self.forward_norm(x_rlc)))

    def _kept(self, branch_rlc: Tensor) -> Tensor:
        """The branch of some rows zero in training, that of the others enlarged, so that its mean stays."""
        if not (self.training and self.drop_path):
            return branch_rlc
        kept_r11 = branch_rlc.new_empty(len(branch_rlc), 1, 1).bernoulli_(1 - self.drop_path)
        return branch_rlc * (kept_r11 / (1 - self.drop_path))


class Blocks(nn.ModuleList):
    """Blocks one after the other, (R, L, C) → (R, L, C): what `torch.compile` is given, so that it sees across their
    borders.
    """

    def forward(self, x_rlc: Tensor) -> Tensor:
        for block in self:
            x_rlc = block(x_rlc)
        return x_rlc
