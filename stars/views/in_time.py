"""Augmentations in time: order, speed and smoothness of frames."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from pydantic import model_validator
from torch import Generator, Tensor

from stars.config.base import Count, Fraction, Positive, key
from stars.data.device import sent
from stars.views.augmentation import Augmentation, Draws
from stars.views.spatial import Pairs


class PadCrop(Augmentation):
    """Pads a clip with mirrored frames at both ends, then crops it to its former length at a uniformly random start."""

    ratio: Count = key(6, "each end is padded by the clip's number of frames divided by this")

    def draw(self, shape: Sequence[int], generator: Generator) -> Draws:
        return (torch.randint(2 * (shape[2] // self.ratio) + 1, (shape[0],), generator=generator),)

    def apply(self, x_bmtvc: Tensor, draws: Draws, mirror: Pairs) -> Tensor:
        frames = x_bmtvc.shape[2]
        at_bt = draws[0][:, None] - frames // self.ratio + torch.arange(frames)
        at_bt = torch.where(at_bt < 0, -1 - at_bt, torch.where(at_bt >= frames, 2 * frames - 1 - at_bt, at_bt))
        rows_bt = sent((torch.arange(len(at_bt))[:, None] * frames + at_bt).flatten(), x_bmtvc.device)
        x_btmvc = x_bmtvc.transpose(1, 2)  # a crop's memory layout
        return x_btmvc.flatten(0, 1).index_select(0, rows_bt).view_as(x_btmvc).transpose(1, 2)


class Stretch(Augmentation):
    """Slows down or speeds up a clip from its start; surplus frames are dropped, missing frames are zeros (ActCLR)."""

    share: tuple[Positive, Positive] = key(
        (0.5, 1.5), "range of the new length relative to the old one, sampled uniformly; lengths are rounded down"
    )
    p: Fraction = key(0.5, "probability")

    @model_validator(mode="after")
    def _ordered(self) -> Stretch:
        if self.share[0] > self.share[1]:
            raise ValueError(f"share must be [smallest, largest], found {list(self.share)}")
        return self

    def draw(self, shape: Sequence[int], generator: Generator) -> Draws:
        low, high = self.share
        length_b = ((low + (high - low) * torch.rand(shape[0], generator=generator)) * shape[2]).long().clamp(min=1)
        return (torch.where(torch.rand(shape[0], generator=generator) < self.p, length_b, shape[2]),)

    def apply(self, x_bmtvc: Tensor, draws: Draws, mirror: Pairs) -> Tensor:
        """One product with a matrix (B, T, T) of linear interpolation at half-pixel centres, ends repeated."""
        frames, length_b1 = x_bmtvc.shape[2], draws[0][:, None]
        place_bt = ((torch.arange(frames) + 0.5) * (frames / length_b1) - 0.5).clamp(0, frames - 1)
        share_btt = (1 - (place_bt[..., None] - torch.arange(frames)).abs()).clamp(min=0) * (
            torch.arange(frames) < length_b1
        )[..., None]
        x_btn = x_bmtvc.transpose(1, 2).flatten(2)
        return torch.bmm(sent(share_btt, x_bmtvc.device), x_btn).view_as(x_bmtvc.transpose(1, 2)).transpose(1, 2)


class Blur(Augmentation):
    """Smooths frames with a Gaussian in time, whose weights are not normalised (AimCLR)."""

    taps: Count = key(15, "number of frames in the filter, odd")
    sigma: tuple[Positive, Positive] = key((0.1, 2.0), "range of the Gaussian's width in frames, sampled uniformly")
    p: Fraction = key(0.5, "probability")

    @model_validator(mode="after")
    def _balanced(self) -> Blur:
        if self.taps % 2 == 0:
            raise ValueError(f"taps must be odd, found {self.taps}")
        if self.sigma[0] > self.sigma[1]:
            raise ValueError(f"sigma must be [smallest, largest], found {list(self.sigma)}")
        return self

    def draw(self, shape: Sequence[int], generator: Generator) -> Draws:
        low, high = self.sigma
        sigma_b1 = low + (high - low) * torch.rand(shape[0], 1, generator=generator)
        distance_k = torch.arange(self.taps) - self.taps // 2
        weights_bk = (-distance_k.square() / (2 * sigma_b1.square())).exp()
        plain_b1 = torch.rand(shape[0], 1, generator=generator) >= self.p
        return (torch.where(plain_b1, (distance_k == 0).float(), weights_bk),)

    def apply(self, x_bmtvc: Tensor, draws: Draws, mirror: Pairs) -> Tensor:
        """One product with a banded matrix (B, T, T), zeros beyond a clip's ends."""
        frames, half = x_bmtvc.shape[2], self.taps // 2
        away_tt = torch.arange(frames)[None] - torch.arange(frames)[:, None]
        band_btt = draws[0][:, (away_tt + half).clamp(0, self.taps - 1)] * (away_tt.abs() <= half)
        x_btn = x_bmtvc.transpose(1, 2).flatten(2)
        blurred = torch.bmm(sent(band_btt, x_bmtvc.device), x_btn)
        return blurred.view_as(x_bmtvc.transpose(1, 2)).transpose(1, 2)


class Between(Augmentation):
    """Interpolates each frame towards the next one by the same random share; the last frame stays (Hi-TRS)."""

    def draw(self, shape: Sequence[int], generator: Generator) -> Draws:
        return (torch.rand(shape[0], generator=generator),)

    def apply(self, x_bmtvc: Tensor, draws: Draws, mirror: Pairs) -> Tensor:
        return frames_at(x_bmtvc, draws[0][:, None] + torch.arange(x_bmtvc.shape[2]))


class Trim(Augmentation):
    """A random crop of the resized clip, resized again; usable anywhere in a list (Hi-TRS)."""

    share: Fraction = key(0.2, "share left out, uniform from 0 to this")

    def draw(self, shape: Sequence[int], generator: Generator) -> Draws:
        kept_b, place_b = torch.rand(shape[0], 2, generator=generator).unbind(1)
        return 1 - self.share * kept_b, place_b

    def apply(self, x_bmtvc: Tensor, draws: Draws, mirror: Pairs) -> Tensor:
        (kept_b, place_b), last = draws, x_bmtvc.shape[2] - 1
        at_bt = place_b[:, None] * (1 - kept_b[:, None]) * last + kept_b[:, None] * torch.arange(last + 1)
        return frames_at(x_bmtvc, at_bt)


def frames_at(x_bmtvc: Tensor, at_bt: Tensor) -> Tensor:
    """Sample clips at times (B, T) on the CPU, in frames from 0, by linear interpolation; the last frame is repeated
    past the end.
    """
    clips, _, frames = x_bmtvc.shape[:3]
    at_bt = at_bt.clamp(max=frames - 1)
    before_bt = at_bt.floor().long()
    x_btmvc = x_bmtvc.transpose(1, 2)  # a crop's memory layout

    def taken(frame_bt: Tensor) -> Tensor:
        rows_r = sent((torch.arange(clips)[:, None] * frames + frame_bt).flatten(), x_bmtvc.device)
        return x_btmvc.flatten(0, 1).index_select(0, rows_r).view_as(x_btmvc)

    share_bt = sent(at_bt - before_bt, x_bmtvc.device)
    return (
        taken(before_bt)
        .lerp(taken((before_bt + 1).clamp(max=frames - 1)), share_bt[:, :, None, None, None])
        .transpose(1, 2)
    )
