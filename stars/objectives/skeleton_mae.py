"""Our reading of SkeletonMAE (Wu et al., ICMEW 2023): a masked autoencoder of positions on STTFormer.

According to its abstract, joints and frames of a clip are hidden, the encoder sees only the rest, and an encoder and a
decoder of the same blocks reconstruct the coordinates. No code was released and the full text was not available, so
every number below is a setting, and its default our choice.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from stars.backbones.base import Backbone
from stars.backbones.clips import counted_bodies
from stars.backbones.initialise import TABLE_STD
from stars.backbones.sttformer import COORDINATES, Network, Widths, blocks, init_
from stars.config.base import Settings, key
from stars.data.device import sent
from stars.errors import InputError
from stars.objectives.base import Batch, Objective

Share = Annotated[float, Field(ge=0, lt=1)]


class SkeletonMaeOptions(Settings):
    """Masking, and the decoder's size."""

    tuple_ratio: Share = key(0.5, "share of a body's tuples hidden from the encoder")
    joint_ratio: Share = key(0.4, "share of a body's joints replaced by a learned token in the other tuples")
    decoder: Widths = key(
        ((128, 64), (64, 32), (64, 16)), "channels, and width of a head's queries and keys, of each decoder block"
    )


class Loss(Objective):
    """Decoder, a token for hidden joints, one for hidden tuples, and the squared error of hidden coordinates of the
    stream, in m².

    Bodies that are absent are left out.
    """

    Options = SkeletonMaeOptions
    needs = "sttformer"
    views: ClassVar = {"only": [{"crop": {"share": [0.5, 1.0], "min_frames": 64}}, {"turn": {"angle": 0.3}}]}

    def __init__(
        self, networks: Mapping[str, Backbone], options: SkeletonMaeOptions, generator: torch.Generator
    ) -> None:
        super().__init__(networks, options, generator)
        (network,) = networks.values()
        assert isinstance(network, Network), "guaranteed by `needs`"
        self.options = options
        self.tuples = network.frames // network.segment
        self.shown = int(self.tuples * (1 - options.tuple_ratio))
        self.hidden_joints = int(network.joints * options.joint_ratio)
        if not self.shown or (self.shown == self.tuples and not self.hidden_joints):
            raise InputError(
                f"objective: tuple_ratio ({options.tuple_ratio}) and joint_ratio ({options.joint_ratio}) must hide some"
                " but not all"
            )
        stem = next(part for part in network.stem if isinstance(part, nn.Conv2d)).out_channels
        self.tokens = nn.ParameterDict({"joint": torch.empty(stem, 1, 1), "tuple": torch.empty(network.width, 1, 1)})
        for token in self.tokens.values():
            nn.init.trunc_normal_(token, std=TABLE_STD)
        made = blocks(network.width, options.decoder, network.segment * network.joints, network.heads, network.kernel)
        self.decoder = nn.Sequential(*made, nn.Conv2d(options.decoder[-1][0], COORDINATES, 1))
        init_(self.decoder)

    def heads(self) -> nn.ModuleDict:
        return nn.ModuleDict({"tokens": self.tokens, "decoder": self.decoder})

    def kept(self) -> nn.ModuleDict:
        """Nothing: the decoder is not needed afterwards."""
        return nn.ModuleDict()

    def forward(self, batch: Batch, networks: Mapping[str, Backbone]) -> tuple[Tensor, dict[str, Tensor]]:
        """Mean over the batch's bodies. Only one process is supported, since the backbone normalises over the batch."""
        (network,) = networks.values()
        assert isinstance(network, Network), "guaranteed by `needs`"
        (view,) = batch.views.values()
        clips, (_, bodies, *_) = len(batch.clips), view.x_bmtvc.shape
        noises = [
            torch.rand(clips, bodies, size, generator=batch.generator).flatten(0, 1)
            for size in (self.tuples, network.joints)
        ]
        rows_r = counted_bodies(view.bodies.absent_bm, "present").flatten().nonzero().squeeze(1)
        x_rtvc = view.x_bmtvc.flatten(0, 1).index_select(0, sent(rows_r, view.x_bmtvc.device))
        noise_rt, noise_rv = (sent(noise[rows_r], x_rtvc.device) for noise in noises)
        with batch.arithmetic():
            error_r, batch.seen = self.errors(network, x_rtvc, noise_rt, noise_rv)
        return error_r.mean(), {}

    def errors(self, network: Network, x_rtvc: Tensor, noise_rt: Tensor, noise_rv: Tensor) -> tuple[Tensor, Tensor]:
        """Each body's mean squared error over hidden coordinates (R,), and the mean of its encoded tokens (R, C),
        detached.

        Args:
            x_rtvc: bodies (R, T, V, 3) in metres.
            noise_rt, noise_rv: uniform in [0, 1), per tuple and joint; tuples with the lowest values are visible,
                joints with the highest hidden.
        """
        seen_rtvc = network.stream(x_rtvc)
        keep_rk, joint_hidden_rv = (
            noise_rt.argsort(1)[:, : self.shown].sort(1).values,
            highest(noise_rv, self.hidden_joints),
        )
        latent_rckp = self.encoded(network, seen_rtvc, keep_rk, joint_hidden_rv)
        made_rtvc = network.frames_of(self.decoded(latent_rckp, keep_rk)).float()
        hidden_rtv = self.hidden(keep_rk, joint_hidden_rv, network.segment)
        error_rtv = (made_rtvc - seen_rtvc).square().mean(-1) * hidden_rtv
        return error_rtv.sum((1, 2)) / hidden_rtv.sum((1, 2)), latent_rckp.detach().float().mean((2, 3))

    def encoded(self, network: Network, seen_rtvc: Tensor, keep_rk: Tensor, joint_hidden_rv: Tensor) -> Tensor:
        """The encoder's output for the visible tuples, (R, C, K, l · V)."""
        made_rctp = network.stem(network.tuples(seen_rtvc))
        shown_rckp = made_rctp.gather(2, along_tuples(keep_rk, made_rctp))
        hidden_rp = joint_hidden_rv.repeat(1, network.segment)[:, None, None]
        return network.blocks(torch.where(hidden_rp, self.tokens["joint"], shown_rckp))

    def decoded(self, latent_rckp: Tensor, keep_rk: Tensor) -> Tensor:
        """All tuples' coordinates (R, 3, T / l, l · V)."""
        place_rt, shown_rt = self.places(keep_rk)
        back_rctp = latent_rckp.gather(2, along_tuples(place_rt, latent_rckp))
        return self.decoder(torch.where(shown_rt[:, None, :, None], back_rctp, self.tokens["tuple"]))

    def places(self, keep_rk: Tensor) -> tuple[Tensor, Tensor]:
        """For each tuple (R, T / l): its index among the visible ones (arbitrary if hidden), and whether it is
        visible.
        """
        shown_rt = torch.zeros(len(keep_rk), self.tuples, dtype=torch.bool, device=keep_rk.device).scatter_(
            1, keep_rk, True
        )
        return (shown_rt.cumsum(1) - 1).clamp(min=0), shown_rt

    def hidden(self, keep_rk: Tensor, joint_hidden_rv: Tensor, frames: int) -> Tensor:
        """(R, T, V) bool: all joints in hidden tuples' frames, and the hidden joints in the others."""
        _, shown_rt = self.places(keep_rk)
        return ~shown_rt.repeat_interleave(frames, 1)[..., None] | joint_hidden_rv[:, None]


def highest(noise_rv: Tensor, count: int) -> Tensor:
    """Mask of the `count` highest values of each row."""
    chosen = noise_rv.topk(count, dim=1).indices
    return torch.zeros_like(noise_rv, dtype=torch.bool).scatter_(1, chosen, True)


def along_tuples(index_rk: Tensor, x_rctp: Tensor) -> Tensor:
    """An index (R, K) of tuples, expanded for `gather`: (R, C, K, P)."""
    return index_rk[:, None, :, None].expand(-1, x_rctp.shape[1], -1, x_rctp.shape[3])
