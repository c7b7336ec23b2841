"""torch.compile for stacks of transformer blocks, if enabled and available; names in checkpoints do not change."""

from __future__ import annotations

import copy
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

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
    """Run a compiled copy of one block forward and backward at two sizes, since batches differ in the number of
    bodies.
    """
    narrow_attention.constant_when_compiled()
    trial = copy.deepcopy(blocks[:1])
    trial.compile()
    weight = next(trial.parameters())  # of its first LayerNorm
    for rows in (2, 3):
        with arithmetic(weight.device, precision):
            trial(torch.zeros(rows, 4, len(weight), device=weight.device, requires_grad=True)).sum().backward()
