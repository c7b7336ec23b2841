"""torch.compile for stacks of transformer blocks, if enabled and available; names in checkpoints do not change."""

from __future__ import annotations

import copy
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from stars.backbones import narrow_attention
from stars.backbones.attention import Blocks
from stars.training.precision import arithmetic

_wanted = False


@contextmanager
def wanted(flag: bool) -> Iterator[None]:
    """Within it, trainings compile their models if `flag`."""
    global _wanted
    before, _wanted = _wanted, flag
    try:
        yield
    finally:
        _wanted = before


def compile_blocks(model: nn.Module, precision: str) -> bool:
    """Compile every stack of blocks of a model in place; False, with one line on stderr, if a trial block fails."""
    stacks = [module for module in model.modules() if isinstance(module, Blocks)]
    if not (_wanted and stacks):
        return False
    # PyTorch's own key leaves out the instruction set: with a cache that processors share, compiled code may give nan.
    torch.compiler.config.cache_key_tag = torch.backends.cpu.get_cpu_capability()
    try:
        _try(stacks[0], precision)
    except Exception as error:  # compilers raise many types
        reason = str(error).strip().partition("\n")[0]
        print(f"torch.compile does not work here, continuing without it: {reason}", file=sys.stderr, flush=True)
        return False
    for blocks in stacks:
        blocks.compile()
    return True


def _try(blocks: Blocks, precision: str) -> None:
    """Compare a compiled copy of one block with an uncompiled one, forward and backward, at two sizes, since batches
    differ in the number of bodies.
    """
    narrow_attention.constant_when_compiled()
    plain, trial = copy.deepcopy(blocks[:1]), copy.deepcopy(blocks[:1])
    trial.compile()
    weight = next(trial.parameters())  # of its first LayerNorm
    draws = torch.Generator().manual_seed(0)
    for rows in (2, 3):
        x_rlc = torch.randn(rows, 4, len(weight), generator=draws).to(weight.device)
        (expected, wanted), (found, gradient) = (_passed(one, x_rlc, precision) for one in (plain, trial))
        if not (_near(found, expected) and _near(gradient, wanted)):
            raise RuntimeError("compiled and uncompiled blocks compute different numbers")


def _passed(blocks: nn.Module, x_rlc: Tensor, precision: str) -> tuple[Tensor, Tensor]:
    """Output, and the input's gradient of its sum of squares."""
    x_rlc = x_rlc.clone().requires_grad_()
    with arithmetic(x_rlc.device, precision):
        y_rlc = blocks(x_rlc)
    y_rlc.float().square().sum().backward()
    assert x_rlc.grad is not None
    return y_rlc.detach().float(), x_rlc.grad


def _near(found: Tensor, expected: Tensor) -> bool:
    """Within 5 % of the largest number, more than 16-bit rounding; false for nan."""
    return bool((found - expected).abs().max() <= 0.05 * expected.abs().max())
