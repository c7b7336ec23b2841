"""STTFormer: attention between all joints of several consecutive frames, a tuple (Qiu et al., "Spatio-Temporal
Tuples Transformer", 2022).
"""

from __future__ import annotations

import torch
from pydantic import model_validator
from torch import Tensor, nn

from stars.backbones.base import Backbone, BackboneOptions, Layers
from stars.config.base import Count, key

COORDINATES = 3
SLOPE = 0.1  # negative slope of LeakyReLU
BASE = 10000.0  # base of the wavelengths of positions

Widths = tuple[tuple[Count, Count], ...]


class SttformerOptions(BackboneOptions):
    """STTFormer's size."""

    frames: Count = key(120, "frames a clip is resized to; a multiple of segment")
    segment: Count = key(6, "consecutive frames that form a tuple, whose joints attend to each other")
    stem: Count = key(64, "channels before the first block")
    blocks: Widths = key(
        ((64, 16), (64, 16), (128, 32), (128, 32), (256, 64), (256, 64), (256, 64), (256, 64)),
        "channels, and width of a head's queries and keys, of each block",
    )
    heads: Count = key(3, "attention heads")
    kernel: tuple[Count, Count] = key(
        (3, 5), "kernel sizes of a block's convolutions, in tuples and places of a tuple; odd"
    )

    @model_validator(mode="after")
    def _fits(self) -> SttformerOptions:
        if self.frames % self.segment:
            raise ValueError(f"frames ({self.frames}) must be a multiple of segment ({self.segment})")
        if not all(size % 2 for size in self.kernel):
            raise ValueError(f"kernel {list(self.kernel)} must be odd")
        if not self.blocks:
            raise ValueError("blocks: at least one")
        return self


class Network(Backbone):
    """Blocks over tuples t' = t // l and their places v' = (t mod l) · V + v; bodies are rows. Feature: their mean
    over both, (R, C).
    """

    Options = SttformerOptions

    def __init__(self, options: SttformerOptions, joints: int, parents: tuple[int, ...] = (), bodies: int = 1) -> None:
        super().__init__(options, joints, parents, bodies)
        self.segment, self.heads, self.kernel = options.segment, options.heads, options.kernel
        places = options.segment * joints
        self.width = options.blocks[-1][0]
        self.stem = nn.Sequential(
            nn.Conv2d(COORDINATES, options.stem, 1), nn.BatchNorm2d(options.stem), nn.LeakyReLU(SLOPE)
        )
        self.blocks = nn.Sequential(*blocks(options.stem, options.blocks, places, options.heads, options.kernel))
        widest = max(options.stem, *(width for width, _ in options.blocks))
        self.numbers_a_row = options.heads * widest * options.frames * joints
        init_(self)

    def tuples(self, seen_rtvc: Tensor) -> Tensor:
        """Bodies (R, T, V, 3) as (R, 3, T / l, l · V)."""
        return seen_rtvc.unflatten(1, (-1, self.segment)).flatten(2, 3).permute(0, 3, 1, 2)

    def frames_of(self, made_rctp: Tensor) -> Tensor:
        """The inverse for any number of channels: (R, C, T / l, l · V) → (R, T, V, C)."""
        return made_rctp.unflatten(3, (self.segment, self.joints)).flatten(2, 3).permute(0, 2, 3, 1)

    def grid(self, seen: Tensor) -> Tensor:
        """Features by time and joint, (R, T, V, C)."""
        return self.frames_of(self.blocks(self.stem(self.tuples(seen))))

    def layers(self) -> Layers:
        return Layers([self.stem], list(self.blocks), [])


class Block(nn.Module):
    """(R, C, T', P) → (R, C', T', P): attention between the places of a tuple, then a convolution over tuples.

    Attention differs from the usual: one matrix for all tuples, without softmax, plus a learned matrix; positions only
    in queries and keys; and the input itself as every head's values.

    Args:
        channels, width: C and C'; narrow: width of a head's queries and keys.
        places: P, joints of a tuple's frames; kernel: sizes of the convolutions, in tuples and places.
    """

    positions: Tensor

    def __init__(
        self, channels: int, width: int, narrow: int, places: int, heads: int, kernel: tuple[int, int]
    ) -> None:
        super().__init__()
        self.heads, self.narrow = heads, narrow
        self.register_buffer("positions", positions(channels, places), persistent=False)
        self.queries_keys = nn.Conv2d(channels, 2 * heads * narrow, 1)
        self.gain = nn.Parameter(torch.ones(heads, 1, 1))
        self.always = nn.Parameter(torch.full((heads, places, places), 1 / places))
        over_tuples, over_places = kernel
        self.mix = normed(heads * channels, width, (1, over_places))
        self.feed_forward = normed(width, width, (1, 1))
        self.over_tuples = normed(width, width, (over_tuples, 1))
        same = channels == width
        self.past_attention = nn.Identity() if same else normed(channels, width, (1, 1))
        self.past_tuples = nn.Identity() if same else normed(width, width, (1, 1))
        self.activation = nn.LeakyReLU(SLOPE)

    def forward(self, x_rctp: Tensor) -> Tensor:
        mixed = torch.einsum("rctp,rhpq->rhctq", x_rctp, self.attention(x_rctp)).flatten(1, 2)
        past = self.past_attention(x_rctp)
        made = self.activation(self.mix(mixed) + past)
        made = self.activation(self.feed_forward(made) + past)  # residual from the block's start, not its middle
        return self.activation(self.over_tuples(made) + self.past_tuples(made))

    def attention(self, x_rctp: Tensor) -> Tensor:
        """Attention of place q to place p, (R, H, P, P)."""
        query, key = (
            self.queries_keys(x_rctp + self.positions[:, None]).unflatten(1, (2, self.heads, self.narrow)).unbind(1)
        )
        scores = torch.einsum("rhctp,rhctq->rhpq", query, key) / (self.narrow * x_rctp.shape[2])
        return scores.tanh() * self.gain + self.always


def blocks(channels: int, widths: Widths, places: int, heads: int, kernel: tuple[int, int]) -> list[Block]:
    """Consecutive blocks; the first has `channels` input channels."""
    inputs = [channels, *(width for width, _ in widths)]
    return [
        Block(before, width, narrow, places, heads, kernel)
        for before, (width, narrow) in zip(inputs, widths, strict=False)
    ]


def normed(channels: int, width: int, kernel: tuple[int, int]) -> nn.Sequential:
    """A size-preserving convolution with batch normalisation."""
    tuples, places = kernel
    return nn.Sequential(nn.Conv2d(channels, width, kernel, padding=(tuples // 2, places // 2)), nn.BatchNorm2d(width))


def positions(channels: int, places: int) -> Tensor:
    """A fixed table (C, P), the same for all tuples: channels 2i and 2i + 1 are sine and cosine of p ·
    10000^(−2i/C).
    """
    angles_pi = torch.arange(places)[:, None] * BASE ** (-torch.arange(0, channels, 2) / channels)
    return torch.stack([angles_pi.sin(), angles_pi.cos()], 2).flatten(1)[:, :channels].T.contiguous()


def init_(module: nn.Module) -> None:
    """Initialise convolutions with He et al.'s (2015) fan-out normal; all others keep PyTorch's default."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, mode="fan_out")
