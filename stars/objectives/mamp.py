"""Stage 1: masks tokens, preferring those that move, and predicts their motion (MAMP; paper §3.2, Eq. 1–4).

Supports `torch.autocast`: mask, target and loss stay in float32, only matrix products use lower precision.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from stars.backbones.attention import COORDINATES, Block, Blocks, Positions, split_segments, take_tokens
from stars.backbones.base import Backbone
from stars.backbones.initialise import init_
from stars.backbones.transformer import Network
from stars.config import Model, Motion
from stars.data.bodies import Bodies
from stars.data.device import sent
from stars.errors import InputError
from stars.objectives.base import Batch, Objective
from stars.training import parallel
from stars.views.crop import View

TINY = 1e-10  # keeps logarithms and ratios finite
VARIANCE_FLOOR = 1e-6  # m²: joints that move less than about a millimetre get a target near zero, not amplified noise


class Loss(Objective):
    """Decoder and loss of stage 1. Motion is computed, and predicted, in the encoder's stream."""

    Options = Motion
    views: ClassVar = {"only": ["crop", {"turn": {"angle": 0.3}}]}
    needs = "transformer"

    def __init__(self, networks: Mapping[str, Backbone], options: Motion, generator: torch.Generator) -> None:
        super().__init__(networks, options, generator)
        (encoder,) = networks.values()
        assert isinstance(encoder, Network), "guaranteed by `needs`"
        check_motion(encoder.shape, options, encoder.joints)
        self.shape, self.motion = encoder.shape, options
        self.decoder = Decoder(encoder.shape, encoder.joints)

    def forward(self, batch: Batch, networks: Mapping[str, Backbone]) -> tuple[Tensor, dict[str, Tensor]]:
        """Mean over the batch's bodies; the settings include or exclude absent bodies."""
        (encoder,), (name,) = networks.values(), batch.views
        assert isinstance(encoder, Network), "guaranteed by `needs`"
        x_rtvc = bodies_of(batch.whole[name], batch.bodies)
        tokens, own = self.shape.frames // self.shape.segment * encoder.joints, parallel.share(len(x_rtvc))
        noise_rl = sent(torch.rand(len(x_rtvc), tokens, generator=batch.generator), x_rtvc.device)
        self._newest = x_rtvc[own], noise_rl[own], len(x_rtvc)
        with batch.arithmetic():
            loss = self.loss(encoder, *self._newest[:2])
        return parallel.share_of_mean(loss, len(x_rtvc)), {}

    def loss(self, encoder: Network, x_rtvc: Tensor, noise_rl: Tensor) -> Tensor:
        """Loss of a batch of bodies (Eq. 4), a scalar.

        Args:
            x_rtvc: bodies (R, T, V, 3) in metres; an all-zero body is masked uniformly and predicted like any other.
            noise_rl: ε of Eq. 3, uniform in [0, 1), (R, L).
        """
        seen_rtvc = encoder.stream(x_rtvc)
        keep, restore, hidden = self.mask(seen_rtvc, noise_rl)
        prediction = self.decoder(encoder.tokens(x_rtvc, keep), restore)
        loss_rl = token_loss(prediction, motion_target(seen_rtvc, self.motion, self.shape.segment))
        return (loss_rl * hidden).sum() / hidden.sum()

    def mask(self, seen_rtvc: Tensor, noise_rl: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """`choose_mask` for bodies as the encoder sees them."""
        return choose_mask(mask_score(seen_rtvc, self.motion, self.shape.segment), noise_rl, self.motion.ratio)

    @torch.no_grad()
    def seen(self, batch: Batch, networks: Mapping[str, Backbone]) -> Tensor:
        """Mean of each body's visible tokens."""
        (encoder,) = networks.values()
        assert isinstance(encoder, Network), "guaranteed by `needs`"
        x_rtvc, noise_rl, rows = self._newest
        keep, _, _ = self.mask(encoder.stream(x_rtvc), noise_rl)
        with batch.arithmetic():
            y_rc = encoder.tokens(x_rtvc, keep).float().mean(1)
        return parallel.gather(y_rc[: rows // parallel.count()])

    def rows(self, bodies: Bodies, counted: str) -> int:
        return int(counted_rows(bodies, counted).sum())

    def heads(self) -> nn.ModuleDict:
        return nn.ModuleDict({"decoder": self.decoder})

    def kept(self) -> nn.ModuleDict:
        """Nothing: the decoder is not needed afterwards."""
        return nn.ModuleDict()


def counted_rows(bodies: Bodies, counted: str) -> Tensor:
    """Mask (B, M) bool of the bodies that are rows: all, or the present ones."""
    return torch.ones_like(bodies.absent_bm) if counted == "all" else ~bodies.absent_bm


def bodies_of(view: View, counted: str) -> Tensor:
    """These bodies of a view, clip by clip: (R, T, V, 3)."""
    rows = view.x_bmtvc.flatten(0, 1)
    if counted == "all":
        return rows
    chosen_r = counted_rows(view.bodies, counted).flatten().nonzero().squeeze(1)
    return rows.index_select(0, sent(chosen_r, rows.device))


class Decoder(nn.Module):
    """Predicts every token's motion from the visible tokens; a learned mask token replaces the others."""

    def __init__(self, shape: Model, joints: int):
        super().__init__()
        width = shape.decoder_width
        self.embed = nn.Linear(shape.width, width)
        self.mask_token = nn.Parameter(torch.zeros(1, width))
        self.positions = Positions(shape.frames // shape.segment, joints, width)
        self.blocks = Blocks(Block(width, shape.heads, shape.decoder_hidden) for _ in range(shape.decoder_depth))
        self.norm = nn.LayerNorm(width)
        self.predict = nn.Linear(width, shape.segment * COORDINATES)
        init_(self)

    def forward(self, latent_rkc: Tensor, restore_rl: Tensor) -> Tensor:
        """M^pred: visible tokens (R, K, C) and the restoring permutation (R, L) → (R, L, l·3)."""
        kept = self.embed(latent_rkc)
        (rows, count, _), length = kept.shape, restore_rl.shape[1]
        shuffled = torch.cat([kept, self.mask_token.to(kept.dtype).expand(rows, length - count, -1)], 1)
        tokens = take_tokens(shuffled, restore_rl) + self.positions()
        return self.predict(self.norm(self.blocks(tokens)))


def check_motion(shape: Model, motion: Motion, joints: int) -> None:
    """InputError if these settings leave no motion to measure or no visible token."""
    stride = motion.stride or shape.segment
    if 2 * max(stride, shape.segment) > shape.frames:
        raise InputError(
            f"pretrain.motion.stride ({stride}) and model.segment ({shape.segment}) must be at most half of"
            f" model.frames ({shape.frames})"
        )
    tokens = shape.frames // shape.segment * joints
    if visible(tokens, motion.ratio) == 0:
        raise InputError(f"pretrain.motion.ratio ({motion.ratio}) masks all {tokens} tokens of a body: lower it")


def visible(tokens: int, ratio: float) -> int:
    """Tokens of a body that stay visible, rounded down as the release does (74 of 750 at .9)."""
    return int(tokens * (1 - ratio))


def backward_motion(x_rtvc: Tensor, stride: int) -> Tensor:
    """M of Eq. 1, S_i − S_(i−m); the first m frames repeat the next m; (R, T, V, 3) in metres."""
    later = x_rtvc[:, stride:] - x_rtvc[:, :-stride]
    return torch.cat([later[:, :stride], later], 1)


def forward_motion(x_rtvc: Tensor, stride: int) -> Tensor:
    """The release's motion, S_(t+m) − S_t; the last m frames are zero; (R, T, V, 3) in metres."""
    earlier = x_rtvc[:, stride:] - x_rtvc[:, :-stride]
    return torch.cat([earlier, torch.zeros_like(x_rtvc[:, :stride])], 1)


def motion_target(x_rtvc: Tensor, motion: Motion, segment: int) -> Tensor:
    """M^target of Eq. 4 as tokens (R, L, l·3), standardised over each token's own values if `motion.normalise`."""
    measure = {
        "paper": backward_motion,
        "release": forward_motion,
        "positions": lambda positions_rtvc, _: positions_rtvc,
    }[motion.target]
    target = split_segments(measure(x_rtvc, motion.stride or segment), segment)
    if motion.normalise:
        target = (target - target.mean(-1, keepdim=True)) / (target.var(-1, keepdim=True) + VARIANCE_FLOOR).sqrt()
    return target


def mask_score(x_rtvc: Tensor, motion: Motion, segment: int) -> Tensor | None:
    """log π of Eq. 2, (R, L): log-probability of masking each token; None if masking is uniform.

    paper: I is the sum of |M| of Eq. 1 over a segment. release: I is its mean, always between neighbouring segments,
    divided by the row's maximum. With either, a body that does not move has equal scores and is masked uniformly.
    """
    if motion.temperature <= 0:
        return None
    if motion.score == "paper":
        intensity = split_segments(backward_motion(x_rtvc, motion.stride or segment), segment).abs().sum(-1)
        return (intensity / motion.temperature).log_softmax(-1)
    intensity = split_segments(backward_motion(x_rtvc, segment), segment).abs().mean(-1)
    return (intensity / (intensity.amax(-1, keepdim=True) * motion.temperature + TINY)).log_softmax(-1)


def choose_mask(score_rl: Tensor | None, noise_rl: Tensor, ratio: float) -> tuple[Tensor, Tensor, Tensor]:
    """Mask the tokens with the highest log π + Gumbel noise (Eq. 3).

    Args:
        score_rl: log π (R, L), or None for uniform.
        noise_rl: ε, uniform in [0, 1), (R, L).
        ratio: share of tokens to mask.

    Returns keep (R, K) int64, the visible tokens in the encoder's order; restore (R, L) int64, each token's index in
    the order visible, masked; hidden (R, L) float, 1 where masked.
    """
    value = noise_rl if score_rl is None else score_rl - torch.log(TINY - torch.log(noise_rl + TINY))
    order = value.argsort(dim=1, stable=True)
    restore = order.argsort(dim=1)
    count = visible(value.shape[1], ratio)
    return order[:, :count], restore, (restore >= count).to(torch.float32)


def token_loss(prediction_rlp: Tensor, target_rlp: Tensor) -> Tensor:
    """Squared error of each token, averaged over its values, (R, L) in float32."""
    return (prediction_rlp.float() - target_rlp).square().mean(-1)
