"""Attention of heads of 16 or 32 channels on GPUs, by kernels of its own: PyTorch's are made for 64 and more, and fill
narrower heads up with zeros.

A fused kernel after Dao, "FlashAttention-2" (2023): the matrix of weights exists tile by tile only. Nothing is added
atomically, so that equal inputs give equal bytes.
"""

from __future__ import annotations

import importlib.metadata
import math
import sys
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

DEVICE = "cuda"
CAPABILITY = (8, 0)  # from which GPUs multiply bf16 (Ampere), and Triton is made for
DTYPES = (torch.bfloat16, torch.float16)
WIDTHS = (16, 32)  # channels of a head
# Tokens of a tile, warps, and loads under way: the fastest of those tried on an H100 with 256 bodies, 8 heads, 750
# tokens, 32 channels (docs/bench.md). Exponentials bound the speed, not products: small tiles keep many warps at hand
# that fill one another's gaps. dK and dV hold twice the sums.
FORWARD = {"QUERIES": 64, "KEYS": 64, "num_warps": 4, "num_stages": 3}
TO_QUERY = {"QUERIES": 64, "KEYS": 64, "num_warps": 4, "num_stages": 3}
TO_KEY_VALUE = {"QUERIES": 64, "KEYS": 128, "num_warps": 4, "num_stages": 2}
ROUNDING = 0.02  # of the largest number: what the trial may differ from PyTorch's kernel by, both with rounded weights


TRIED: dict[tuple[torch.device, torch.dtype, int], bool] = {}  # what trials of this process found


def fits(query: Tensor, key: Tensor, value: Tensor) -> bool:
    """Whether these are heads for `narrow_attention`, on a GPU that it works on."""
    narrow = query.device.type == DEVICE and query.dtype in DTYPES and query.shape[-1] in WIDTHS
    alike = query.shape == key.shape == value.shape and query.dtype == key.dtype == value.dtype
    return narrow and alike and works(query.device, query.dtype, query.shape[-1])


def constant_when_compiled() -> None:
    """Let `torch.compile` take the result of `works` as a constant; called before compiling.

    As a decorator of `works`, this would import torch._dynamo into every job, which takes more than a second.
    """
    torch.compiler.assume_constant_result(works)


def works(device: torch.device, dtype: torch.dtype, width: int) -> bool:
    """Whether a small trial, once in a process, gives what PyTorch's kernel gives; False, after one line, where it
    does not or cannot be run.
    """
    tried = device, dtype, width
    if tried not in TRIED:
        try:
            _try(*tried)
            TRIED[tried] = True
        except Exception as error:  # whatever Triton, its compilers and the driver raise
            reason = str(error).strip().partition("\n")[0] or type(error).__name__
            print(
                f"attention for narrow heads does not work here, going on with PyTorch's: {reason}",
                file=sys.stderr,
                flush=True,
            )
            TRIED[tried] = False
    return TRIED[tried]


def _try(device: torch.device, dtype: torch.dtype, width: int) -> None:
    """A forward and a backward pass of a whole tile and a part of one."""
    if device.type == "cuda" and torch.cuda.get_device_capability(device) < CAPABILITY:
        raise RuntimeError(f"it needs a GPU of compute capability {CAPABILITY[0]}.{CAPABILITY[1]} or higher")
    draws = torch.randn(4, 1, 2, 75, width, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode(False), torch.enable_grad(), torch.autocast(device.type, enabled=False):
        *inputs, gradient = draws.to(device, dtype)
        found = []
        for attention in (narrow_attention, F.scaled_dot_product_attention):
            leaves = [tensor.clone().requires_grad_() for tensor in inputs]
            mixed = attention(*leaves)
            found.append(torch.stack([mixed.detach(), *torch.autograd.grad(mixed, leaves, gradient)]).float())
    ours, theirs = found
    if not bool((ours - theirs).abs().max() <= ROUNDING * theirs.abs().max()):
        raise RuntimeError("its numbers are not those of PyTorch's kernel")


def kernels_used() -> str:
    """What this process mixed narrow heads with, for its record: Triton and its version, or torch."""
    return f"triton {importlib.metadata.version('triton')}" if any(TRIED.values()) else "torch"


def narrow_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """softmax(QKᵀ/√d)·V of each row and head, (R, H, L, d); differentiable once. For `torch.compile` it is one
    operation.
    """
    mixed: Tensor = _forward(query, key, value)[0]
    return mixed


@torch.library.custom_op("stars::narrow_attention", mutates_args=())
def _forward(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    """What is mixed, (R, H, L, d) with the tokens before the heads in memory, and the scores' log₂ of sums, (R, H,
    L) float32.
    """
    from stars.backbones import narrow_kernels as kernels

    query, key, value = _alike(query, key, value)
    mixed, logsumexp = _forward_shapes(query, key, value)
    arguments = (query, key, value, mixed, logsumexp, *_measures(query), _slope(query))
    with torch.cuda.device_of(query):
        kernels.forward[_grid(query, FORWARD["QUERIES"])](*arguments, WIDTH=query.shape[-1], **FORWARD)
    return mixed, logsumexp


@_forward.register_fake
def _forward_shapes(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    return _tokens_first(query), query.new_empty(query.shape[:3], dtype=torch.float32)


@torch.library.custom_op("stars::narrow_attention_backward", mutates_args=())
def _backward(
    gradient: Tensor, query: Tensor, key: Tensor, value: Tensor, mixed: Tensor, logsumexp: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """dQ, dK and dV, (R, H, L, d) with the tokens before the heads in memory."""
    from stars.backbones import narrow_kernels as kernels

    query, key, value = _alike(query, key, value)
    gradient, mixed = (tensor.transpose(1, 2).contiguous() for tensor in (gradient, mixed))
    found, sums = _backward_shapes(gradient, query, key, value, mixed, logsumexp), torch.empty_like(logsumexp)
    measures = (*_measures(query), _slope(query), query.shape[-1] ** -0.5)
    with torch.cuda.device_of(query):
        asked = (query, key, value, mixed, gradient, logsumexp, sums, found[0], *measures)
        kernels.backward_query[_grid(query, TO_QUERY["QUERIES"])](*asked, WIDTH=query.shape[-1], **TO_QUERY)
        given = (query, key, value, gradient, logsumexp, sums, *found[1:], *measures)
        kernels.backward_key_value[_grid(query, TO_KEY_VALUE["KEYS"])](*given, WIDTH=query.shape[-1], **TO_KEY_VALUE)
    return found


@_backward.register_fake
def _backward_shapes(gradient: Tensor, query: Tensor, *others: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return _tokens_first(query), _tokens_first(query), _tokens_first(query)


def _keep(ctx: Any, inputs: tuple[Tensor, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(*inputs, *output)


def _differentiate(ctx: Any, gradient: Tensor | None, _: None) -> tuple[Tensor | None, ...]:
    return (None, None, None) if gradient is None else _backward(gradient, *ctx.saved_tensors)


_forward.register_autograd(_differentiate, setup_context=_keep)


def _alike(*inputs: Tensor) -> tuple[Tensor, ...]:
    """The same numbers with strides that the kernels can go by: the same for all, channels side by side."""
    strides = {tensor.stride() for tensor in inputs}
    return inputs if len(strides) == 1 and strides.pop()[-1] == 1 else tuple(tensor.contiguous() for tensor in inputs)


def _tokens_first(query: Tensor) -> Tensor:
    """Room for (R, H, L, d), (R, L, H, d) in memory: heads are side by side for the product that follows."""
    rows, heads, tokens, width = query.shape
    return query.new_empty(rows, tokens, heads, width).transpose(1, 2)


def _measures(query: Tensor) -> tuple[int, ...]:
    """Strides of row, head and token; numbers of heads and tokens."""
    return (*query.stride()[:3], query.shape[1], query.shape[2])


def _slope(query: Tensor) -> float:
    return math.log2(math.e) / query.shape[-1] ** 0.5


def _grid(query: Tensor, tile: int) -> tuple[int]:
    rows, heads, tokens, _ = query.shape
    return (rows * heads * -(-tokens // tile),)
