"""Adaptive graph convolutions (Shi et al., 2s-AGCN, CVPR 2019): blocks learn edges, and infer others per clip. ISC's
graph encoder.
"""

from __future__ import annotations

import math

import torch
from pydantic import model_validator
from torch import Tensor, nn

from stars.backbones.base import Backbone, BackboneOptions, Layers
from stars.backbones.graph import directed
from stars.config.base import Count, key

BLOCKS = (
    (1, 1),
    (1, 1),
    (1, 1),
    (1, 1),
    (2, 2),
    (2, 1),
    (2, 1),
    (4, 2),
    (4, 1),
    (4, 1),
)  # channels as a multiple of `channels`; temporal stride
SUBSETS = 3
SMALL = 1e-6  # initial learned edges and scale of a block's first norm, so that a block starts as its residual


class AgcnOptions(BackboneOptions):
    """2s-AGCN's size."""

    frames: Count = key(64, "frames a clip is resized to")
    channels: Count = key(
        64, "channels of the first blocks; those after the fourth have twice, after the seventh four times as many"
    )
    kernel: Count = key(9, "kernel size of temporal convolutions, odd")
    share: Count = key(4, "ratio of a block's channels to those used for comparing joints")

    @model_validator(mode="after")
    def _odd(self) -> AgcnOptions:
        if self.kernel % 2 == 0:
            raise ValueError(f"kernel ({self.kernel}) must be odd")
        return self


class Network(Backbone):
    """Ten blocks over the joints and frames of each body, averaged over both and over a clip's bodies: (B, 4 ·
    channels).

    Takes whole clips, because the input normalisation has separate statistics for each body.
    """

    Options = AgcnOptions
    whole_clips = True
    needs_parents = True
    edges: Tensor

    def __init__(self, options: AgcnOptions, joints: int, parents: tuple[int, ...] = (), bodies: int = 1) -> None:
        super().__init__(options, joints, parents, bodies)
        self.width = 4 * options.channels
        self.register_buffer("edges", directed(parents), persistent=False)
        self.norm = nn.BatchNorm1d(3 * joints * bodies)
        channels = [(options.channels * times, stride) for times, stride in BLOCKS]
        self.blocks = nn.ModuleList(
            Block(before, after, stride, options, joints, residual=number > 0)
            for number, ((before, _), (after, stride)) in enumerate(
                zip([(3, 1), *channels[:-1]], channels, strict=True)
            )
        )

    def encode(self, seen: Tensor) -> Tensor:
        clips, bodies, frames, joints, _ = seen.shape
        normed_bnt = self.norm(seen.permute(0, 1, 3, 4, 2).flatten(1, 3))
        x_rctv = normed_bnt.view(clips * bodies, joints, 3, frames).permute(0, 2, 3, 1).contiguous()
        for block in self.blocks:
            x_rctv = block(x_rctv, self.edges)
        return x_rctv.mean((2, 3)).unflatten(0, (clips, bodies)).mean(1)

    def layers(self) -> Layers:
        return Layers([self.norm], list(self.blocks), [])


class Block(nn.Module):
    """An adaptive graph convolution and a temporal convolution, each with a residual connection: (R, C, T, V) → (R,
    C', T/stride, V).
    """

    def __init__(self, before: int, after: int, stride: int, options: AgcnOptions, joints: int, residual: bool) -> None:
        super().__init__()
        self.spatial = Adaptive(before, after, options.share, joints)
        self.temporal = in_time(after, after, options.kernel, stride)
        self.past: nn.Module | None = None
        if residual:
            self.past = nn.Identity() if before == after and stride == 1 else in_time(before, after, 1, stride)

    def forward(self, x_rctv: Tensor, edges_kvv: Tensor) -> Tensor:
        """Graph convolution, temporal convolution, then the outer residual."""
        made = self.temporal(self.spatial(x_rctv, edges_kvv))
        return (made if self.past is None else made + self.past(x_rctv)).relu()


class Adaptive(nn.Module):
    """Σ_k W_k x (A_k + B_k + C_k): the skeleton's edges, learned ones, and ones from similarities between the body's
    joints (2s-AGCN, Eq. 3).
    """

    def __init__(self, before: int, after: int, share: int, joints: int) -> None:
        super().__init__()
        compared = max(1, after // share)
        self.learned = nn.Parameter(torch.full((SUBSETS, joints, joints), SMALL))
        self.queries = nn.Conv2d(before, SUBSETS * compared, 1)
        self.keys = nn.Conv2d(before, SUBSETS * compared, 1)
        self.combine = nn.Conv2d(SUBSETS * before, after, 1)
        self.norm = nn.BatchNorm2d(after)
        self.past: nn.Module = nn.Identity()
        if before != after:
            self.past = nn.Sequential(nn.Conv2d(before, after, 1), nn.BatchNorm2d(after))
            kaiming(self.past[0])
        for layer in (self.queries, self.keys):
            kaiming(layer, fan_out=compared)
        nn.init.normal_(self.combine.weight, 0, math.sqrt(2 / (after * before * SUBSETS)))
        nn.init.zeros_(self.combine.bias)  # type: ignore[arg-type]
        nn.init.constant_(self.norm.weight, SMALL)

    def forward(self, x_rctv: Tensor, edges_kvv: Tensor) -> Tensor:
        edges_rkvw = self.alike(x_rctv) + (edges_kvv + self.learned)
        gathered = torch.einsum("rctv,rkvw->rkctw", x_rctv, edges_rkvw).flatten(1, 2)
        return (self.norm(self.combine(gathered)) + self.past(x_rctv)).relu()

    def alike(self, x_rctv: Tensor) -> Tensor:
        """C_k: softmax over all v for each joint w, (R, K, V, V)."""
        queries, keys = (layer(x_rctv).unflatten(1, (SUBSETS, -1)).flatten(2, 3) for layer in (self.queries, self.keys))
        return (torch.einsum("rknv,rknw->rkvw", queries, keys) / queries.shape[2]).softmax(2)


def in_time(before: int, after: int, kernel: int, stride: int) -> nn.Sequential:
    """A temporal convolution with batch normalisation."""
    convolution = nn.Conv2d(before, after, (kernel, 1), (stride, 1), (kernel // 2, 0))
    kaiming(convolution)
    return nn.Sequential(convolution, nn.BatchNorm2d(after))


def kaiming(layer: nn.Module, fan_out: int | None = None) -> None:
    """Weights from N(0, 2 / fan_out), fan_out the layer's outputs times its kernel; biases 0."""
    assert isinstance(layer, nn.Conv2d) and layer.bias is not None
    fan_out = fan_out or layer.out_channels * math.prod(layer.kernel_size)
    nn.init.normal_(layer.weight, 0, math.sqrt(2 / fan_out))
    nn.init.zeros_(layer.bias)
