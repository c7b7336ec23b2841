"""torch.compile of stacks of transformer blocks, where it is wanted and works; the names of what is saved stay."""

from __future__ import annotations

import copy
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from stars.backbones.attention import Blocks
from stars.training.precision import arithmetic

_wanted = False


@contextmanager
def wanted(flag: bool) -> Iterator[None]:
    """Inside, what is trained is compiled if `flag`."""
    global _wanted
    before, _wanted = _wanted, flag
    try:
        yield
    finally:
        _wanted = before


def compile_blocks(model: nn.Module, precision: str) -> bool:
    """Compile every stack of blocks of a model, in place; False, after one line, where a trial one cannot be compiled or run."""
    stacks = [module for module in model.modules() if isinstance(module, Blocks)]
    if not (_wanted and stacks):
        return False
    try:
        _try(stacks[0], precision)
    except Exception as error:  # whatever the compilers of this machine raise
        reason = str(error).strip().partition("\n")[0]
        print(f"torch.compile does not work here, going on without it: {reason}", file=sys.stderr, flush=True)
        return False
    for blocks in stacks:
        blocks.compile()
    return True


def _try(blocks: Blocks, precision: str) -> None:
    """A forward and a backward pass of a compiled copy of one block, at two sizes: batches differ in the number of bodies."""
    trial = copy.deepcopy(blocks[:1])
    trial.compile()
    weight = next(trial.parameters())  # of its first LayerNorm
    for rows in (2, 3):
        with arithmetic(weight.device, precision):
            trial(torch.zeros(rows, 4, len(weight), device=weight.device, requires_grad=True)).sum().backward()
