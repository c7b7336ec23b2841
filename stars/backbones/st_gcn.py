"""Spatial-temporal graph convolutions (Yan et al., ST-GCN, AAAI 2018), a quarter as wide, as in CrosSCLR and its
successors.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import model_validator
from torch import Tensor, nn

from stars.backbones.base import Backbone, BackboneOptions, Layers
from stars.backbones.graph import directed, root, spatial_partition
from stars.config.base import Count, key
from stars.errors import InputError

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
    (0, 1),
)  # channels as a multiple of `channels` (0: `width`); temporal stride


class StGcnOptions(BackboneOptions):
    """ST-GCN's size."""

    frames: Count = key(50, "frames a clip is resized to")
    channels: Count = key(
        16, "channels of the first blocks; those after the fifth have twice, after the eighth four times as many"
    )
    width: Count = key(256, "channels of the last block, the dimension of features")
    kernel: Count = key(9, "kernel size of temporal convolutions, odd")
    dropout: float = key(
        0.5, "share of a block's values set to zero in training, except in the first block", ge=0, lt=1
    )
    learned_edges: bool = key(True, "whether each block learns weights of edges")
    graph: Literal["centre", "parents"] = key(
        "centre",
        "subsets of a joint's neighbours: further from `centre` and nearer, with equal weights (ST-GCN); or its parent"
        " and its children (2s-AGCN)",
    )
    centre: int | None = key(
        None, "`graph: centre`: joint from which distances are measured; null: the root (NTU: 20)", ge=0
    )

    @model_validator(mode="after")
    def _odd(self) -> StGcnOptions:
        if self.kernel % 2 == 0:
            raise ValueError(f"kernel ({self.kernel}) must be odd")
        return self


class Network(Backbone):
    """Ten blocks over the joints and frames of a body; bodies are rows. Features by time and joint (R, T/4, V,
    width).
    """

    Options = StGcnOptions
    needs_parents = True
    partition: Tensor

    def __init__(self, options: StGcnOptions, joints: int, parents: tuple[int, ...] = (), bodies: int = 1) -> None:
        super().__init__(options, joints, parents, bodies)
        self.width = options.width
        centre = root(parents) if options.centre is None else options.centre
        if centre >= joints:
            raise InputError(f"model.centre: joint {centre} is out of range: the clips have {joints}, from 0")
        partition = directed(parents) if options.graph == "parents" else spatial_partition(parents, centre)
        self.register_buffer("partition", partition, persistent=False)
        self.norm = nn.BatchNorm1d(3 * joints)
        channels = [(options.channels * times or options.width, stride) for times, stride in BLOCKS]
        self.blocks = nn.ModuleList(
            Block(before, after, stride, options, joints, first=number == 0)
            for number, ((before, _), (after, stride)) in enumerate(
                zip([(3, 1), *channels[:-1]], channels, strict=True)
            )
        )

    def grid(self, seen: Tensor) -> Tensor:
        return self.grid_of(seen, None)

    def grid_of(self, seen: Tensor, joints_j: Tensor | None) -> Tensor:
        """Features by time and joint (R, T/4, J, width) of the graph restricted to these joints, in order; None:
        all.
        """
        x_rvct = seen.permute(0, 2, 3, 1)
        x_rct = self.norm(x_rvct.flatten(1, 2))
        x_rctv = x_rct.view(x_rvct.shape).permute(0, 2, 3, 1)
        x_rctv = (x_rctv if joints_j is None else x_rctv.index_select(3, joints_j)).contiguous()
        for block in self.blocks:
            x_rctv = block(x_rctv, self.partition, joints_j)
        return x_rctv.permute(0, 2, 3, 1)

    def layers(self) -> Layers:
        return Layers([self.norm], list(self.blocks), [])


class Block(nn.Module):
    """Graph convolution, temporal convolution, residual: (R, C, T, V) → (R, C', T/stride, V). The first has no
    residual and no dropout.
    """

    edges: Tensor

    def __init__(self, before: int, after: int, stride: int, options: StGcnOptions, joints: int, first: bool) -> None:
        super().__init__()
        edges_kvv = torch.ones(3, joints, joints)
        if options.learned_edges:
            self.edges = nn.Parameter(edges_kvv)
        else:  # keeps the name in files
            self.register_buffer("edges", edges_kvv)
        self.spatial = nn.Conv2d(before, 3 * after, 1)
        self.spatial_norm = nn.BatchNorm2d(after)
        self.temporal = nn.Conv2d(after, after, (options.kernel, 1), (stride, 1), (options.kernel // 2, 0))
        self.temporal_norm = nn.BatchNorm2d(after)
        self.dropout = nn.Dropout(0.0 if first else options.dropout)
        self.past: nn.Module | None = None
        if not first:
            same = before == after and stride == 1
            self.past = (
                nn.Identity()
                if same
                else nn.Sequential(nn.Conv2d(before, after, 1, (stride, 1)), nn.BatchNorm2d(after))
            )

    def forward(self, x_rctv: Tensor, partition_kvv: Tensor, joints_j: Tensor | None = None) -> Tensor:
        """Sum over subsets k and neighbours v of W_k x_v · A_kvw, then the temporal convolution and the residual."""
        by_subset = self.spatial(x_rctv).unflatten(1, (3, -1))
        weights_kvv = partition_kvv * self.edges
        if joints_j is not None:
            weights_kvv = weights_kvv.index_select(1, joints_j).index_select(2, joints_j)
        gathered = torch.einsum("rkctv,kvw->rctw", by_subset, weights_kvv)
        made = self.dropout(self.temporal_norm(self.temporal(self.spatial_norm(gathered).relu())))
        return (made if self.past is None else made + self.past(x_rctv)).relu()
