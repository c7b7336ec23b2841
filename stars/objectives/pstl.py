"""PSTL: the full clip, one of its calmest frames and one without central joints get equal, decorrelated features
(Zhou et al., AAAI 2023).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from stars.backbones.base import Backbone
from stars.backbones.st_gcn import Network
from stars.config.base import Count, Positive, Settings, key
from stars.data.device import sent
from stars.errors import InputError
from stars.objectives.base import Batch, Objective

VIEW: list[object] = ["pad_crop", {"shear": {"amplitude": 1.0}}, "rotate", "swap"]


class PstlOptions(Settings):
    """Masking and heads."""

    frames: int = key(10, "frames left out for moving most, and as many more at random", ge=0)
    joints: int = key(8, "number of draws of joints to leave out; a joint can be drawn as often as it has bones", ge=0)
    hidden: Count = key(6144, "dimension of the projector's layers and of its output")
    redundancy: Positive = key(2e-4, "weight of correlations between different dimensions, λ")


class Loss(Objective):
    """Sum of the Barlow Twins losses of the full view with each masked view. Metrics: both losses."""

    Options = PstlOptions
    columns = ("calm_loss", "central_loss")
    needs = "st_gcn"
    views: ClassVar = {"whole": VIEW, "calm": VIEW, "central": VIEW}

    def __init__(self, networks: Mapping[str, Backbone], options: PstlOptions, generator: torch.Generator) -> None:
        super().__init__(networks, options, generator)
        (network,) = networks.values()
        assert isinstance(network, Network), "guaranteed by `needs`"
        self.options = options
        self.shown = network.frames - 2 * options.frames
        self.often = [joint for joint, bones in enumerate(degrees(network.parents)) for _ in range(bones)]
        if self.shown < 1 or options.joints >= network.joints:
            raise InputError(
                f"objective: frames (2 × {options.frames}) and joints ({options.joints}) must leave some of"
                f" {network.frames} frames and {network.joints} joints: lower them"
            )
        self.projector = projector(network.width, options.hidden)
        self.norm = nn.BatchNorm1d(options.hidden, affine=False)

    def heads(self) -> nn.ModuleDict:
        return nn.ModuleDict({"projector": self.projector})

    def forward(self, batch: Batch, networks: Mapping[str, Backbone]) -> tuple[Tensor, dict[str, Tensor]]:
        (network,) = networks.values()
        assert isinstance(network, Network), "guaranteed by `needs`"
        calm = network.frames - self.options.frames
        chosen_k = torch.randperm(calm, generator=batch.generator)[: self.shown].sort().values
        drawn = torch.randperm(len(self.often), generator=batch.generator)[: self.options.joints]
        left_out = {self.often[place] for place in drawn.tolist()}
        joints_j = torch.tensor([joint for joint in range(network.joints) if joint not in left_out])
        return self.masked(batch, network, chosen_k, joints_j)

    def masked(
        self, batch: Batch, network: Network, chosen_k: Tensor, joints_j: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """A step with these of the calm frames, and these joints of the central view."""
        whole_bc = batch.features(network, "whole")[0]
        x_bmtvc, bodies = batch.views["calm"]
        seen_bmtvc = network.stream(x_bmtvc)
        calm_bmtvc = calm_frames(seen_bmtvc, network.frames - self.options.frames, sent(chosen_k, x_bmtvc.device))
        calm_bc = batch.encoded(network, calm_bmtvc, bodies, network.encode)
        x_bmtvc, bodies = batch.views["central"]
        kept_j = sent(joints_j, x_bmtvc.device)
        central_bc = batch.encoded(
            network, network.stream(x_bmtvc), bodies, lambda seen: network.pool(network.grid_of(seen, kept_j))
        )
        whole, calm, central = (self.norm(self.projector(y_bc)) for y_bc in (whole_bc, calm_bc, central_bc))
        losses = {
            "calm_loss": twins(whole, calm, self.options.redundancy),
            "central_loss": twins(whole, central, self.options.redundancy),
        }
        return torch.stack(list(losses.values())).sum(), {name: loss.detach() for name, loss in losses.items()}


def projector(width: int, hidden: int) -> nn.Sequential:
    """Three linear layers without biases, BatchNorm and ReLU between them."""
    between = [
        part
        for inputs in (width, hidden)
        for part in (nn.Linear(inputs, hidden, bias=False), nn.BatchNorm1d(hidden), nn.ReLU())
    ]
    return nn.Sequential(*between, nn.Linear(hidden, hidden, bias=False))


def degrees(parents: Sequence[int]) -> list[int]:
    """Number of bones of each joint."""
    counted = [0] * len(parents)
    for joint, parent in enumerate(parents):
        if joint != parent:
            counted[joint] += 1
            counted[parent] += 1
    return counted


def calm_frames(x_bmtvc: Tensor, count: int, chosen_k: Tensor) -> Tensor:
    """Of the `count` calmest frames (with the least motion to the next; the last frame included), in order, those at
    indices `chosen_k`.
    """
    moved_bt = torch.zeros_like(x_bmtvc[:, 0, :, 0, 0])
    moved_bt[:, :-1] = (x_bmtvc[:, :, 1:] - x_bmtvc[:, :, :-1]).square().mean((1, 3, 4))
    calm_bk = moved_bt.neg().topk(count, dim=1).indices.sort(1).values[:, chosen_k]
    return x_bmtvc.gather(2, calm_bk[:, None, :, None, None].expand(-1, x_bmtvc.shape[1], -1, *x_bmtvc.shape[3:]))


def twins(one_bd: Tensor, other_bd: Tensor, redundancy: float) -> Tensor:
    """Barlow Twins (Zbontar et al., ICML 2021): Σ_i (1 − C_ii)² + λ Σ_(i≠j) C_ij², C the correlations of
    standardised outputs (B, D).
    """
    correlation_dd = one_bd.T @ other_bd / len(one_bd)
    squares_dd = correlation_dd.square()
    same_d = correlation_dd.diagonal()
    return (1 - same_d).square().sum() + redundancy * (squares_dd.sum() - same_d.square().sum())
