"""Co-occurrences of joints (Li et al., HCN, IJCAI 2018): joints become channels of an image of frames and learned
coordinates. ISC's image encoder.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import model_validator
from torch import Tensor, nn

from stars.backbones.base import Backbone, BackboneOptions, Layers
from stars.config.base import Count, key

HALVINGS = 16  # four poolings by two


class HcnOptions(BackboneOptions):
    """HCN's size."""

    stream: Literal["joint", "bone", "motion"] = key(
        "joint", "input stream, used together with its temporal differences"
    )
    frames: Count = key(64, "frames a clip is resized to, a multiple of 16")
    channels: Count = key(64, "channels of a point, and of the later convolutions")
    coordinates: Count = key(64, "learned coordinates of a joint, the images' width, a multiple of 16")
    dropout: float = key(0.5, "share of channels set to zero in training", ge=0, lt=1)

    @model_validator(mode="after")
    def _halved(self) -> HcnOptions:
        for name in ("frames", "coordinates"):
            if getattr(self, name) % HALVINGS:
                raise ValueError(f"{name} ({getattr(self, name)}) must be a multiple of {HALVINGS}")
        return self


class Network(Backbone):
    """Feature: output of the last convolution, maximum over a clip's bodies: (B, 4 · channels · frames/16 ·
    coordinates/16).
    """

    Options = HcnOptions
    whole_clips = True

    def __init__(self, options: HcnOptions, joints: int, parents: tuple[int, ...] = (), bodies: int = 1) -> None:
        super().__init__(options, joints, parents, bodies)
        channels, dropout = options.channels, options.dropout
        self.position, self.motion = Branch(options, joints), Branch(options, joints)
        self.both = nn.Sequential(
            *(nn.Conv2d(2 * channels, 2 * channels, 3, padding=1), nn.ReLU(), nn.Dropout2d(dropout), nn.MaxPool2d(2)),
            *(nn.Conv2d(2 * channels, 4 * channels, 3, padding=1), nn.ReLU(), nn.Dropout2d(dropout), nn.MaxPool2d(2)),
        )
        self.width = 4 * channels * (options.frames // HALVINGS) * (options.coordinates // HALVINGS)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]

    def encode(self, seen: Tensor) -> Tensor:
        x_rctv = seen.flatten(0, 1).permute(0, 3, 1, 2)
        made = self.both(torch.cat([self.position(x_rctv), self.motion(steps(x_rctv))], 1))
        return made.unflatten(0, seen.shape[:2]).amax(1).flatten(1)

    def layers(self) -> Layers:
        return Layers([], [self.position, self.motion, self.both], [])


class Branch(nn.Sequential):
    """Points (R, 3, T, V) → images (R, channels, T/4, coordinates/4)."""

    def __init__(self, options: HcnOptions, joints: int) -> None:
        channels = options.channels
        super().__init__(
            *(
                nn.Conv2d(3, channels, 1),
                nn.ReLU(),
                nn.Conv2d(channels, options.coordinates, (3, 1), padding=(1, 0)),
                JointsAsChannels(),
            ),
            *(nn.Conv2d(joints, channels // 2, 3, padding=1), nn.MaxPool2d(2)),
            *(nn.Conv2d(channels // 2, channels, 3, padding=1), nn.Dropout2d(options.dropout), nn.MaxPool2d(2)),
        )


class JointsAsChannels(nn.Module):
    """(R, C, T, V) → (R, V, T, C)."""

    def forward(self, x_rctv: Tensor) -> Tensor:
        return x_rctv.transpose(1, 3)


def steps(x_rctv: Tensor) -> Tensor:
    """Temporal differences, resized from T − 1 to T frames."""
    return F.interpolate(
        x_rctv[:, :, 1:] - x_rctv[:, :, :-1], size=x_rctv.shape[2:], mode="bilinear", align_corners=False
    )
