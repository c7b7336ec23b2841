"""torch.compile of transformer blocks, where it is wanted and works; the names of what is saved stay."""

from __future__ import annotations

import copy
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from stars.model.transformer import Block
from stars.training.optimiser import arithmetic

_wanted = False


@contextmanager
def wanted(flag: bool) -> Iterator[None]:
    """Inside, what is trained is compiled if `flag`."""
    global _wanted
    before, _wanted = _wanted, flag
    yield
    _wanted = before


def compile_blocks(model: nn.Module, precision: str) -> bool:
    """Compile every block of a model, in place; False, after one line, where a trial block cannot be compiled or run."""
    blocks = [module for module in model.modules() if isinstance(module, Block)]
    if not (_wanted and blocks):
        return False
    try:
        _try(blocks[0], precision)
    except Exception as error:  # whatever the compilers of this machine raise
        reason = str(error).strip().partition("\n")[0]
        print(f"torch.compile does not work here, going on without it: {reason}", file=sys.stderr, flush=True)
        return False
    for block in blocks:
        block.compile(dynamic=True)
    return True


def _try(block: Block, precision: str) -> None:
    """A forward and a backward pass of a compiled copy, at two sizes: batches differ in the number of bodies."""
    trial = copy.deepcopy(block)
    trial.compile(dynamic=True)
    weight = trial.attention.qkv.weight
    for rows in (2, 3):
        with arithmetic(weight.device, precision):
            trial(torch.zeros(rows, 4, weight.shape[1], device=weight.device, requires_grad=True)).sum().backward()
