"""Base class of backbones: networks that map a body or a clip to one vector."""

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
    """The parts of a backbone in order: layers before the blocks, blocks, and layers after them."""

    stem: list[nn.Module]
    blocks: list[nn.Module]
    top: list[nn.Module]


class Backbone(nn.Module):
    """A backbone. The file NAME.py in this package defines the backbone NAME as class `Network`.

    Bodies are rows of the batch, and a clip's feature is the mean over its bodies; with `whole_clips`, the network
    takes whole clips instead.

    A subclass defines `encode`, or only `grid` if its output is a grid over time and joints.

    Attributes:
        Options: its settings, the block `model` of a method.
        whole_clips: whether it takes clips (B, M, T, V, 3) or bodies (R, T, V, 3).
        needs_parents: whether it needs the joints' parents for every stream.
        width: C, dimension of features; classifier_width: dimension of a classifier's input in fine-tuning.
        numbers_a_row: values per row in its largest layer's output (0: unknown), used to encode as many rows at a time
            as fit into a CPU's caches.
        drop_path: default stochastic depth in fine-tuning.

    Args of `__init__`:
        options: an instance of `Options`.
        joints: V; parents: each joint's parent, the root's is the root; bodies: M of a clip, used with `whole_clips`.
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
                f"{self.name} needs a parent for each of {joints} joints, found {list(parents)}: add `parents` to the"
                " data set's description"
            )
        self.options, self.joints, self.parents, self.bodies = options, joints, parents, bodies
        self.stream = Stream(options.stream, joints, parents)

    @property
    def name(self) -> str:
        """Name of the backbone: its file's name."""
        return type(self).__module__.rpartition(".")[2]

    @property
    def frames(self) -> int:
        """T, frames of its input clips."""
        return self.options.frames

    @property
    def classifier_width(self) -> int:
        """Dimension of `for_classifier`'s output per row."""
        return self.width

    def forward(self, x: Tensor) -> Tensor:
        """Features (R, C) of bodies (R, T, V, 3) in metres, or (B, C) of clips (B, M, T, V, 3)."""
        return self.encode(self.stream(x))

    def encode(self, seen: Tensor) -> Tensor:
        """Features of bodies or clips in the stream."""
        return self.pool(self.grid(seen))

    def grid(self, seen: Tensor) -> Tensor:
        """Features by time and joint (R, T', V', C) of bodies in the stream, for objectives that need them."""
        raise InputError(f"{self.name} defines neither encode nor grid: write one of them (docs/extending.md)")

    def pool(self, grid_rtvc: Tensor) -> Tensor:
        """Pool a grid: (R, T', V', C) → (R, C)."""
        return grid_rtvc.mean((1, 2))

    def for_classifier(self, x: Tensor, dropout: nn.Module) -> Tensor:
        """Input of a fine-tuned classifier: (R, classifier_width) from bodies or clips, with `dropout`."""
        return dropout(self(x))

    def drop_paths(self, rate: float) -> None:
        """Enable stochastic depth in training, with probability `rate` in the last block."""
        if rate:
            raise InputError("finetune.drop_path: only the transformer supports stochastic depth: set it to 0")

    def layers(self) -> Layers:
        """Its parts, for layer-wise learning rates and freezing; they must include every parameter."""
        return Layers([], list(self.children()), [])

    @torch.no_grad()
    def flops(self) -> float:
        """Floating-point operations of one body, or one clip, counting 2 per multiply-add in matrix products and
        convolutions.
        """
        device = next(self.parameters()).device
        shape = (*((self.bodies,) if self.whole_clips else ()), self.frames, self.joints, 3)
        trained, zeros = self.training, torch.zeros(1, *shape, device=device)
        # the counter does not support the CPU's fused attention kernel
        with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
            self.eval()(zeros)
        self.train(trained)
        return float(counter.get_total_flops())

    @property
    def normalises_batches(self) -> bool:
        """Whether a row's output depends on other rows of the batch in training."""
        return any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in self.modules())


@torch.no_grad()
def check_features(network: Backbone) -> None:
    """InputError unless its output is (rows, width). Uses no random numbers and changes no weight."""
    file = sys.modules[type(network).__module__].__file__
    if not hasattr(network, "width"):
        raise InputError(f"{file}: its network does not define the dimension of features: set self.width")
    shape = (*((network.bodies,) if network.whole_clips else ()), network.frames, network.joints, 3)
    trained = network.training
    made = network.eval()(torch.zeros(2, *shape))
    network.train(trained)
    found = tuple(made.shape) if isinstance(made, Tensor) else type(made).__name__
    if found != (2, network.width):
        raise InputError(
            f"{file}: features of 2 rows must be (2, {network.width}) for width {network.width}, found {found}: correct"
            " its output or self.width"
        )
