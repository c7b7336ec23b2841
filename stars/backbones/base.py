"""What a backbone is: a network that makes one vector of a body, or of a clip."""

from __future__ import annotations

import sys
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from stars.backbones.streams import Stream
from stars.config import BackboneOptions as BackboneOptions
from stars.errors import InputError


class Layers(NamedTuple):
    """The parts of a backbone from the input up: embeddings and the like, its blocks in order, and what follows them."""

    stem: list[nn.Module]
    blocks: list[nn.Module]
    top: list[nn.Module]


class Backbone(nn.Module):
    """A network of one file; a file NAME.py in this package is the backbone NAME, and calls its class `Network`.

    Bodies are rows of the batch, and a clip's feature is the mean of theirs; where `whole_clips` is true the network is given whole clips,
    with bodies side by side.

    A subclass writes `encode`; or, where its output has a place for each time and joint, `grid` alone.

    Attributes:
        Options: its settings, the block `model` of a method.
        whole_clips: whether it is given clips (B, M, T, V, 3) or bodies (R, T, V, 3).
        needs_parents: whether it asks for the joints' parents whatever its stream.
        width: C, numbers in a feature; classifier_width: in what a classifier that is trained with it is given.
        numbers_a_row: numbers in its largest layer's output for a row, 0: not counted. So many rows are encoded at a time that they stay
            in a CPU's caches.
        drop_path: stochastic depth in fine-tuning, unless told otherwise.

    Args of `__init__`:
        options: an `Options`.
        joints: V; parents: each joint's parent, the root's itself; bodies: M of a clip, which matters with `whole_clips`.
    """

    Options: ClassVar[type[BackboneOptions]]
    whole_clips: ClassVar[bool] = False
    needs_parents: ClassVar[bool] = False
    width: int
    numbers_a_row = 0
    drop_path: ClassVar[float] = 0.0

    def __init__(self, options: BackboneOptions, joints: int, parents: tuple[int, ...] = (), bodies: int = 1) -> None:
        super().__init__()
        if self.needs_parents and len(parents) != joints:
            raise InputError(
                f"{self.name} needs a parent for each of {joints} joints, found {list(parents)}: add `parents` to the data set's description"
            )
        self.options, self.joints, self.parents, self.bodies = options, joints, parents, bodies
        self.stream = Stream(options.stream, joints, parents)

    @property
    def name(self) -> str:
        """Of the backbone: its file's."""
        return type(self).__module__.rpartition(".")[2]

    @property
    def frames(self) -> int:
        """T, frames of the clips that it is given."""
        return self.options.frames

    @property
    def classifier_width(self) -> int:
        """Numbers that `for_classifier` makes of a row."""
        return self.width

    def forward(self, x: Tensor) -> Tensor:
        """Features (R, C) of bodies (R, T, V, 3) in metres, or (B, C) of clips (B, M, T, V, 3)."""
        return self.encode(self.stream(x))

    def encode(self, seen: Tensor) -> Tensor:
        """The same of bodies or clips as the stream shows them."""
        return self.pool(self.grid(seen))

    def grid(self, seen: Tensor) -> Tensor:
        """Features by time and joint (R, T', V', C) of bodies as the stream shows them, for objectives that need them."""
        raise InputError(f"{self.name} defines neither encode nor grid: write one of them (docs/extending.md)")

    def pool(self, grid_rtvc: Tensor) -> Tensor:
        """(R, T', V', C) → (R, C)."""
        return grid_rtvc.mean((1, 2))

    def for_classifier(self, x: Tensor, dropout: nn.Module) -> Tensor:
        """What a classifier that is trained with it is given of bodies or clips: (R, classifier_width), with `dropout` on its output."""
        return dropout(self(x))

    def drop_paths(self, rate: float) -> None:
        """Let rows go past branches of its blocks in training, past the last one's with probability `rate` (stochastic depth)."""
        if rate:
            raise InputError("finetune.drop_path: only the transformer has branches that a row can go past: set it to 0")

    def layers(self) -> Layers:
        """Its parts, for layer-wise learning rates and for freezing; every parameter is in one of them."""
        return Layers([], list(self.children()), [])

    @torch.no_grad()
    def flops(self) -> float:
        """Floating-point operations of one body, or one clip: 2 a multiplication and addition of its matrix products and convolutions."""
        device = next(self.parameters()).device
        shape = (*((self.bodies,) if self.whole_clips else ()), self.frames, self.joints, 3)
        trained, zeros = self.training, torch.zeros(1, *shape, device=device)
        # the fused kernel of attention on a CPU is not in the counter's list
        with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
            self.eval()(zeros)
        self.train(trained)
        return float(counter.get_total_flops())

    @property
    def normalises_batches(self) -> bool:
        """Whether what it makes of a row depends on the other rows of the batch in training."""
        return any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in self.modules())


@torch.no_grad()
def check_features(network: Backbone) -> None:
    """InputError unless it makes (rows, width) of rows: what everything downstream takes for granted. Nothing is drawn, and no weight changes."""
    file = sys.modules[type(network).__module__].__file__
    if not hasattr(network, "width"):
        raise InputError(f"{file}: its network does not say how many numbers a feature has: set self.width")
    shape = (*((network.bodies,) if network.whole_clips else ()), network.frames, network.joints, 3)
    trained = network.training
    made = network.eval()(torch.zeros(2, *shape))
    network.train(trained)
    found = tuple(made.shape) if isinstance(made, Tensor) else type(made).__name__
    if found != (2, network.width):
        raise InputError(f"{file}: of 2 rows its features must be (2, {network.width}), width being {network.width}; found {found}")
