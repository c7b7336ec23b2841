"""A step's clips and random numbers: pure functions of seed, stage and step, so that a resumed run repeats an
undisturbed one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import torch
from torch import Tensor

from stars.errors import InputError
from stars.training import parallel
from stars.training.progress import say

CURVE_ROWS = 200


def generator(seed: int, *purpose: str | int) -> torch.Generator:
    """A separate CPU generator for each purpose: (7, "pretrain", "step", 12) always gives the same numbers."""
    words = ":".join(map(str, (seed, *purpose)))
    return torch.Generator().manual_seed(int.from_bytes(hashlib.sha256(words.encode()).digest()[:8], "big"))


@contextmanager
def seeded(seed: int, *purpose: str | int) -> Iterator[None]:
    """Within it, torch's global CPU generator (initial weights) is seeded by (seed, *purpose); its state is restored
    afterwards.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(generator(seed, *purpose).initial_seed())
        yield


@contextmanager
def seeded_by(source: torch.Generator, device: torch.device) -> Iterator[None]:
    """Within it, torch's global generator on `device` (dropout) is seeded from `source`; its state is restored
    afterwards.
    """
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(int(torch.randint(2**63 - 1, (), generator=source)))
        yield


class Passes(Protocol):
    """Settings of epochs and batches."""

    @property
    def epochs(self) -> float: ...

    @property
    def batch(self) -> int: ...

    @property
    def max_steps(self) -> int | None: ...


@dataclass(frozen=True)
class Plan:
    """The steps of one training.

    Attributes:
        seed, stage: determine all randomness of the run.
        clips: number of training clips; batch: clips per step over all devices.
        epochs: passes over the clips, may be fractional; planned: epochs in the settings if `max_steps` stops earlier;
            otherwise 0.
    """

    seed: int
    stage: str
    clips: int
    batch: int
    epochs: float
    planned: float = 0.0

    @classmethod
    def of(cls, seed: int, stage: str, clips: int, passes: Passes) -> Plan:
        """The plan of a stage; a batch larger than the training set is reduced to it, with a message.

        Raises InputError for batches of fewer than 2 clips (batch normalisation and contrast need 2), or if the
        processes cannot share the batch evenly.
        """
        batch = min(passes.batch, clips)
        if batch < 2:
            raise InputError(
                f"{stage}: a batch needs at least 2 clips, but batch is {passes.batch} and there are {clips} training"
                " clips: raise them"
            )
        if batch < passes.batch:
            say(
                f"{stage}: the batch of {passes.batch} is larger than the training set: every step uses all {clips}"
                " clips"
            )
        if batch % parallel.count():
            raise InputError(
                f"{stage}: {parallel.count()} GPUs cannot share a batch of {batch} clips evenly: change gpus or the"
                " batch"
            )
        epochs = passes.epochs if passes.max_steps is None else min(passes.epochs, passes.max_steps / (clips // batch))
        if epochs < passes.epochs:
            say(
                f"{stage}: cut off after {passes.max_steps} steps, {epochs:.3g} of {passes.epochs:g} epochs, by"
                " max_steps: a rehearsal, not a result"
            )
            return cls(seed, stage, clips, batch, epochs, passes.epochs)
        return cls(seed, stage, clips, batch, epochs)

    @property
    def steps_per_epoch(self) -> int:
        """Full batches per epoch; the remaining clips are skipped in this epoch."""
        return self.clips // self.batch

    @property
    def steps(self) -> int:
        return round(self.epochs * self.steps_per_epoch)

    def rows(self, step: int) -> Tensor:
        """(batch,) clips of a step, each at most once in its epoch."""
        epoch, position = divmod(step, self.steps_per_epoch)
        return _order(self, epoch)[position * self.batch : (position + 1) * self.batch]

    def generator(self, step: int) -> torch.Generator:
        """The generator for a step's randomness: crops, rotations, masks."""
        return generator(self.seed, self.stage, "step", step)

    def epochs_ended(self, done: int) -> int:
        """Number of completed epochs if one ends after `done` steps, otherwise 0."""
        return 0 if done % self.steps_per_epoch else done // self.steps_per_epoch

    def closes_row(self, done: int) -> bool:
        """Whether a row of the curve ends after `done` steps: about 200 times per run, and after every epoch."""
        return bool(self.epochs_ended(done)) or done % max(1, self.steps // CURVE_ROWS) == 0 or done == self.steps


@lru_cache(maxsize=2)
def _order(plan: Plan, epoch: int) -> Tensor:
    return torch.randperm(plan.clips, generator=generator(plan.seed, plan.stage, "epoch", epoch))
