"""Learning rates as pure functions of the step (half-cosine with warm-up) and of the layer (Eq. 7), so resuming
needs no state.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

from stars.config import Schedule, TuneOptimiser
from stars.errors import InputError


def learning_rate(step: int, steps_per_epoch: int, optimiser: Schedule) -> float:
    """Learning rate of the step numbered `step` (from 0): linear from 0 to `lr` in the warm-up, then half a cosine down
    to `min_lr`.

    Constant, step and linear schedules are also supported. Epochs may be fractional; after the last one, cosine and
    linear schedules stay at `min_lr`.
    """
    epoch = step / steps_per_epoch
    if epoch < optimiser.warmup_epochs:
        return optimiser.lr * epoch / optimiser.warmup_epochs
    if isinstance(optimiser, TuneOptimiser) and optimiser.schedule in ("constant", "steps"):
        return optimiser.lr * optimiser.step_factor ** sum(epoch >= fall for fall in optimiser.steps)
    if epoch >= optimiser.epochs:
        return optimiser.min_lr
    share = (epoch - optimiser.warmup_epochs) / (optimiser.epochs - optimiser.warmup_epochs)
    linear = isinstance(optimiser, TuneOptimiser) and optimiser.schedule == "linear"
    left = 1 - share if linear else 0.5 * (1 + math.cos(math.pi * share))
    return optimiser.min_lr + (optimiser.lr - optimiser.min_lr) * left


def schedule(steps_per_epoch: int, optimiser: Schedule) -> Callable[[int], float]:
    """`learning_rate` of one training: step → learning rate."""
    return partial(learning_rate, steps_per_epoch=steps_per_epoch, optimiser=optimiser)


def finetune_rates(depth: int, decay: float) -> list[float]:
    """Factors of the learning rate by layer for training the whole encoder: decay^(depth + 1 − id).

    Ids as in the released code: 0 the embedding and the positions, 1 … depth the blocks, depth + 1 the final norm and
    the head.
    """
    return [decay ** (depth + 1 - layer) for layer in range(depth + 2)]


def layer_rates(depth: int, decay: float, tuned: int | None, last: int) -> list[float]:
    """Factor of the learning rate for each encoder block, first to last: α^(N−i+last) for the last `tuned` blocks, 0
    (frozen) below.

    Eq. 7 does not define whether i starts from 0 or 1: with `last` 1, as released, the factors are α, α², … from the
    last block; with 0, 1, α, …. `tuned` null: the second half of the blocks (the larger one, if odd). Raises InputError
    if `tuned` exceeds the number of blocks.
    """
    tuned = (depth + 1) // 2 if tuned is None else tuned
    if tuned > depth:
        raise InputError(f"tuned_blocks is {tuned}, but the encoder has {depth} blocks: set at most {depth}")
    return [decay ** (depth - i + last) if i > depth - tuned else 0.0 for i in range(1, depth + 1)]
