"""Augmentations of the methods that contrast views, a whole batch at a time, on the device that holds it: (B, M, T, V, 3) → the same.

Each is a block of settings that draws on the CPU, for every clip by itself, and applies what it drew: the result depends on draws and clips alone.
What they do and how strongly is that of CrosSCLR (Li et al., CVPR 2021), AimCLR (Guo et al., AAAI 2022), CMD (Mao et al., ECCV 2022) and
Hi-TRS (Chen et al., ECCV 2022).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from pydantic import model_validator
from torch import Generator, Tensor

from stars.config.base import Count, Fraction, Positive, Settings, key
from stars.data.device import sent
from stars.views.crop import mapped, rotation_matrix
from stars.views.spatial import Pairs, axis_mask, exchanged, shear

Draws = tuple[Any, ...]  # tensors on the CPU, clips first; of lists of steps, lists of theirs


class Augmentation(Settings):
    """One step of a view."""

    @property
    def keeps_bodies(self) -> bool:
        """Whether a body that is all zeros, or equal to its clip's first, stays so."""
        return True

    @property
    def needs_mirror(self) -> bool:
        """Whether it does nothing without pairs of left and right joints."""
        return False

    def draw(self, shape: Sequence[int], generator: Generator) -> Draws:
        """What is random in it, for clips of the shape (B, M, T, V, 3)."""
        raise NotImplementedError

    def apply(self, x_bmtvc: Tensor, draws: Draws, mirror: Pairs) -> Tensor:
        """The clips, augmented as drawn; `mirror`: left and right joint of each pair."""
        raise NotImplementedError


class Linear(Augmentation):
    """A step that multiplies every point of a clip by one matrix."""

    def matrices(self, draws: Draws) -> Tensor:
        """(B, 3, 3)."""
        raise NotImplementedError

    def apply(self, x_bmtvc: Tensor, draws: Draws, mirror: Pairs) -> Tensor:
        return mapped(x_bmtvc, self.matrices(draws))


class Shear(Linear):
    """Some of each coordinate added to the others: ones on the diagonal, six amounts beside it."""

    amplitude: float = key(0.5, "the amounts are drawn evenly from ± this", ge=0)

    def draw(self, shape: Sequence[int], generator: Generator) -> Draws:
        return ((2 * torch.rand(shape[0], 6, generator=generator) - 1) * self.amplitude,)

    def matrices(self, draws: Draws) -> Tensor:
        return shear(draws[0])


class Turn(Linear):
    """A rotation about the origin, as in masked prediction."""

    angle: float = key(0.3, "the angle about each axis is drawn evenly from ± this, radians", ge=0)

    def draw(self, shape: Sequence[int], generator: Generator) -> Draws:
        return ((2 * torch.rand(shape[0], 3, generator=generator) - 1) * self.angle,)

    def matrices(self, draws: Draws) -> Tensor:
        return rotation_matrix(draws[0])


class Rotate(Linear):
    """A rotation mostly about one axis, which is drawn (AimCLR)."""

    angle: float = key(30.0, "the angle about that axis is drawn evenly from 0 to this, degrees", ge=0)
    others: float = key(1.0, "the angles about the two others, from 0 to this, degrees", ge=0)

    def draw(self, shape: Sequence[int], generator: Generator) -> Draws:
        main_b = torch.randint(3, (shape[0],), generator=generator)
        largest_b3 = torch.full((shape[0], 3), self.others).scatter_(1, main_b[:, None], self.angle)
        return (torch.rand(shape[0], 3, generator=generator) * largest_b3 * math.pi / 180,)

    def matrices(self, draws: Draws) -> Tensor:
        return rotation_matrix(draws[0])


class Scale(Linear):
    """All coordinates multiplied by one factor (Hi-TRS)."""

    factor: tuple[Positive, Positive] = key((0.8, 1.2), "the factor is drawn evenly from this range")

    @model_validator(mode="after")
    def _ordered(self) -> Scale:
        if self.factor[0] > self.factor[1]:
            raise ValueError(f"factor runs from the smaller to the larger one, found {list(self.factor)}")
        return self

    def draw(self, shape: Sequence[int], generator: Generator) -> Draws:
        low, high = self.factor
        return (low + (high - low) * torch.rand(shape[0], generator=generator),)

    def matrices(self, draws: Draws) -> Tensor:
        return draws[0][:, None, None] * torch.eye(3)


class AxisMask(Linear):
    """One coordinate, x, y or z, set to zero."""

    p: Fraction = key(0.5, "probability")

    def draw(self, shape: Sequence[int], generator: Generator) -> Draws:
        return torch.rand(shape[0], generator=generator) < self.p, torch.randint(3, (shape[0],), generator=generator)

    def matrices(self, draws: Draws) -> Tensor:
        return axis_mask(*draws)


class Swap(Augmentation):
    """Left and right joints change places; no sign is turned."""

    p: Fraction = key(0.5, "probability")

    @property
    def needs_mirror(self) -> bool:
        return self.p > 0

    def draw(self, shape: Sequence[int], generator: Generator) -> Draws:
        return (torch.rand(shape[0], generator=generator) < self.p,)

    def apply(self, x_bmtvc: Tensor, draws: Draws, mirror: Pairs) -> Tensor:
        return exchanged(x_bmtvc, draws[0], mirror)


class Noise(Augmentation):
    """Independent Gaussian noise on every number, absent bodies included."""

    std: float = key(0.01, "standard deviation, metres", ge=0)
    p: Fraction = key(0.5, "probability")

    @property
    def keeps_bodies(self) -> bool:
        return self.std == 0 or self.p == 0

    def draw(self, shape: Sequence[int], generator: Generator) -> Draws:
        chosen_b = torch.rand(shape[0], generator=generator) < self.p
        return (torch.randn(*shape, generator=generator) * (self.std * chosen_b)[:, None, None, None, None],)

    def apply(self, x_bmtvc: Tensor, draws: Draws, mirror: Pairs) -> Tensor:
        return x_bmtvc + sent(draws[0], x_bmtvc.device)


class PadCrop(Augmentation):
    """Mirrored frames put before and after a clip, and as many frames as it had cut out at a uniform start."""

    ratio: Count = key(6, "a side gets the clip's frames divided by this")

    def draw(self, shape: Sequence[int], generator: Generator) -> Draws:
        return (torch.randint(2 * (shape[2] // self.ratio) + 1, (shape[0],), generator=generator),)

    def apply(self, x_bmtvc: Tensor, draws: Draws, mirror: Pairs) -> Tensor:
        frames = x_bmtvc.shape[2]
        at_bt = draws[0][:, None] - frames // self.ratio + torch.arange(frames)
        at_bt = torch.where(at_bt < 0, -1 - at_bt, torch.where(at_bt >= frames, 2 * frames - 1 - at_bt, at_bt))
        rows_bt = sent((torch.arange(len(at_bt))[:, None] * frames + at_bt).flatten(), x_bmtvc.device)
        x_btmvc = x_bmtvc.transpose(1, 2)  # a crop's order in memory
        return x_btmvc.flatten(0, 1).index_select(0, rows_bt).view_as(x_btmvc).transpose(1, 2)


class Stretch(Augmentation):
    """A clip slower or faster than it was, from its start on: what no longer fits is left out, and what is missing is zeros (ActCLR)."""

    share: tuple[Positive, Positive] = key((0.5, 1.5), "new length as a share of the old one, drawn evenly from this range, rounded down")
    p: Fraction = key(0.5, "probability")

    @model_validator(mode="after")
    def _ordered(self) -> Stretch:
        if self.share[0] > self.share[1]:
            raise ValueError(f"share runs from the smaller to the larger one, found {list(self.share)}")
        return self

    def draw(self, shape: Sequence[int], generator: Generator) -> Draws:
        low, high = self.share
        length_b = ((low + (high - low) * torch.rand(shape[0], generator=generator)) * shape[2]).long().clamp(min=1)
        return (torch.where(torch.rand(shape[0], generator=generator) < self.p, length_b, shape[2]),)

    def apply(self, x_bmtvc: Tensor, draws: Draws, mirror: Pairs) -> Tensor:
        """One product with a matrix (B, T, T) of linear interpolation at half-pixel centres, ends repeated."""
        frames, length_b1 = x_bmtvc.shape[2], draws[0][:, None]
        place_bt = ((torch.arange(frames) + 0.5) * (frames / length_b1) - 0.5).clamp(0, frames - 1)
        share_btt = (1 - (place_bt[..., None] - torch.arange(frames)).abs()).clamp(min=0) * (torch.arange(frames) < length_b1)[..., None]
        x_btn = x_bmtvc.transpose(1, 2).flatten(2)
        return torch.bmm(sent(share_btt, x_bmtvc.device), x_btn).view_as(x_bmtvc.transpose(1, 2)).transpose(1, 2)


class Blur(Augmentation):
    """Frames weighted by a Gaussian of their distance in time, whose weights do not sum to 1 (AimCLR)."""

    taps: Count = key(15, "frames that are added up, odd")
    sigma: tuple[Positive, Positive] = key((0.1, 2.0), "width of the Gaussian, frames, drawn evenly from this range")
    p: Fraction = key(0.5, "probability")

    @model_validator(mode="after")
    def _balanced(self) -> Blur:
        if self.taps % 2 == 0:
            raise ValueError(f"taps is odd, as many frames before as after, found {self.taps}")
        if self.sigma[0] > self.sigma[1]:
            raise ValueError(f"sigma runs from the smaller to the larger width, found {list(self.sigma)}")
        return self

    def draw(self, shape: Sequence[int], generator: Generator) -> Draws:
        low, high = self.sigma
        sigma_b1 = low + (high - low) * torch.rand(shape[0], 1, generator=generator)
        distance_k = torch.arange(self.taps) - self.taps // 2
        weights_bk = (-distance_k.square() / (2 * sigma_b1.square())).exp()
        plain_b1 = torch.rand(shape[0], 1, generator=generator) >= self.p
        return (torch.where(plain_b1, (distance_k == 0).float(), weights_bk),)

    def apply(self, x_bmtvc: Tensor, draws: Draws, mirror: Pairs) -> Tensor:
        """One product with a banded matrix (B, T, T): beyond a clip's ends are zeros."""
        frames, half = x_bmtvc.shape[2], self.taps // 2
        away_tt = torch.arange(frames)[None] - torch.arange(frames)[:, None]
        band_btt = draws[0][:, (away_tt + half).clamp(0, self.taps - 1)] * (away_tt.abs() <= half)
        x_btn = x_bmtvc.transpose(1, 2).flatten(2)
        blurred = torch.bmm(sent(band_btt, x_bmtvc.device), x_btn)
        return blurred.view_as(x_bmtvc.transpose(1, 2)).transpose(1, 2)


class Corrupt(Augmentation):
    """Some joints, others in each clip, set to zero or multiplied by one random matrix (CMD)."""

    share: Fraction = key(0.6, "share of the joints: 15 of 25")
    zero: Fraction = key(0.5, "probability that they are set to zero, not multiplied")

    def draw(self, shape: Sequence[int], generator: Generator) -> Draws:
        clips, joints = shape[0], shape[3]
        order_bv = torch.rand(clips, joints, generator=generator).argsort(1).argsort(1)
        chosen_bv = order_bv < round(self.share * joints)
        zero_b = torch.rand(clips, generator=generator) < self.zero
        matrix_bcc = (2 * torch.rand(clips, 3, 3, generator=generator) - 1) * ~zero_b[:, None, None]
        return chosen_bv, matrix_bcc

    def apply(self, x_bmtvc: Tensor, draws: Draws, mirror: Pairs) -> Tensor:
        chosen_bv = sent(draws[0], x_bmtvc.device)[:, None, None, :, None]
        return torch.where(chosen_bv, mapped(x_bmtvc, draws[1]), x_bmtvc)


class Offset(Augmentation):
    """Some joints, others in each clip, displaced, each by one offset in all frames (Hi-TRS); absent bodies stay absent."""

    joints: Count = key(5, "joints; all, where there are fewer")
    amplitude: float = key(0.2, "each coordinate of an offset is drawn evenly from ± this, metres", ge=0)

    def draw(self, shape: Sequence[int], generator: Generator) -> Draws:
        clips, joints = shape[0], shape[3]
        chosen_bv = torch.rand(clips, joints, generator=generator).argsort(1).argsort(1) < self.joints
        return ((2 * torch.rand(clips, joints, 3, generator=generator) - 1) * self.amplitude * chosen_bv[..., None],)

    def apply(self, x_bmtvc: Tensor, draws: Draws, mirror: Pairs) -> Tensor:
        present_bm = (x_bmtvc != 0).flatten(2).any(2)
        return x_bmtvc + sent(draws[0], x_bmtvc.device)[:, None, None] * present_bm[..., None, None, None]


class Between(Augmentation):
    """Each frame moved towards the next one by one share of the way; the last frame stays (Hi-TRS)."""

    def draw(self, shape: Sequence[int], generator: Generator) -> Draws:
        return (torch.rand(shape[0], generator=generator),)

    def apply(self, x_bmtvc: Tensor, draws: Draws, mirror: Pairs) -> Tensor:
        return frames_at(x_bmtvc, draws[0][:, None] + torch.arange(x_bmtvc.shape[2]))


class Trim(Augmentation):
    """A random stretch of the resized clip, resized again: `crop` in the midst of a list (Hi-TRS)."""

    share: Fraction = key(0.2, "the share that is left out is drawn evenly from 0 to this")

    def draw(self, shape: Sequence[int], generator: Generator) -> Draws:
        kept_b, place_b = torch.rand(shape[0], 2, generator=generator).unbind(1)
        return 1 - self.share * kept_b, place_b

    def apply(self, x_bmtvc: Tensor, draws: Draws, mirror: Pairs) -> Tensor:
        (kept_b, place_b), last = draws, x_bmtvc.shape[2] - 1
        at_bt = place_b[:, None] * (1 - kept_b[:, None]) * last + kept_b[:, None] * torch.arange(last + 1)
        return frames_at(x_bmtvc, at_bt)


def frames_at(x_bmtvc: Tensor, at_bt: Tensor) -> Tensor:
    """Clips at these times in frames (B, T) on the CPU, from 0, between two frames on the line between them; past the end the last frame."""
    clips, _, frames = x_bmtvc.shape[:3]
    at_bt = at_bt.clamp(max=frames - 1)
    before_bt = at_bt.floor().long()
    x_btmvc = x_bmtvc.transpose(1, 2)  # a crop's order in memory

    def taken(frame_bt: Tensor) -> Tensor:
        rows_r = sent((torch.arange(clips)[:, None] * frames + frame_bt).flatten(), x_bmtvc.device)
        return x_btmvc.flatten(0, 1).index_select(0, rows_r).view_as(x_btmvc)

    share_bt = sent(at_bt - before_bt, x_bmtvc.device)
    return taken(before_bt).lerp(taken((before_bt + 1).clamp(max=frames - 1)), share_bt[:, :, None, None, None]).transpose(1, 2)


KNOWN: dict[str, type[Augmentation]] = {
    "pad_crop": PadCrop,
    "shear": Shear,
    "turn": Turn,
    "rotate": Rotate,
    "swap": Swap,
    "noise": Noise,
    "blur": Blur,
    "stretch": Stretch,
    "scale": Scale,
    "axis_mask": AxisMask,
    "corrupt": Corrupt,
    "offset": Offset,
    "between": Between,
    "trim": Trim,
}
