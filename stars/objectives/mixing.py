"""Mixes clips with others of their batch, as in ActCLR (Lin et al., CVPR 2023): some body parts for some time, or
all values.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from pydantic import model_validator
from torch import Generator, Tensor
from torch.nn.functional import normalize

from stars.config.base import Count, Settings, key
from stars.data.device import sent

STRIDE = 4  # frames per time step of ST-GCN's features, the unit of mixed spans


class Region(Settings):
    """Size of the region replaced by another clip, sampled uniformly from each range."""

    parts: tuple[Count, Count] = key((2, 3), "number of body parts, at most all")
    places: tuple[Count, Count] = key((3, 5), "span of time, in units of 4 frames, at most the clip")

    @model_validator(mode="after")
    def _ordered(self) -> Region:
        for name in ("parts", "places"):
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"{name} must be [smallest, largest], found {[low, high]}")
        return self


class Mix(NamedTuple):
    """Defines how each clip is mixed with its partner, the clip `offset` further in the batch; in main memory.

    frames_t: the partner's frame at each frame; share_tv: the partner's share in every frame and joint; taken_sv and
    lost_sv: shares, by features' time and joint (T/4, V), taken from the partner and lost from the clip.
    """

    offset: int
    frames_t: Tensor
    share_tv: Tensor
    taken_sv: Tensor
    lost_sv: Tensor


def draw_offset(clips: int, generator: Generator) -> int:
    """Cyclic offset of a clip's partner in the batch: neither the clip itself nor, with three or more, its
    predecessor.
    """
    return int(torch.randint(1, max(clips - 1, 2), (), generator=generator))


def draw_mix(
    clips: int, frames: int, joints: int, parts: Sequence[Sequence[int]], region: Region, generator: Generator
) -> Mix:
    """With probability ½ a region of the partner, ¼ a region at twice its speed, ¼ an equal share of all values."""
    offset = draw_offset(clips, generator)
    kind, share = torch.rand(2, generator=generator).tolist()
    chosen = torch.randperm(len(parts), generator=generator)[: _within(region.parts, len(parts), generator)].tolist()
    places, most = -(-frames // STRIDE), max(frames // STRIDE, 1)
    length = _within(region.places, most, generator)
    start = int(torch.randint(most - length + 1, (), generator=generator))
    frames_t = torch.arange(frames)
    if kind < 0.25:
        everywhere_sv = torch.full((places, joints), share)
        return Mix(offset, frames_t, torch.full((frames, joints), share), everywhere_sv, everywhere_sv)
    joints_v = torch.zeros(joints)
    joints_v[[joint for part in chosen for joint in parts[part]]] = 1
    lost_sv = ((torch.arange(places) >= start) & (torch.arange(places) < start + length))[:, None] * joints_v
    taken_sv = lost_sv
    if kind < 0.5:
        count = min(length * STRIDE, frames)
        frames_t = (frames_t - start * STRIDE).clamp(0, count - 1) * min(2 * count, frames) // count
        taken_sv = joints_v.expand(places, -1)
    return Mix(offset, frames_t, lost_sv.repeat_interleave(STRIDE, 0)[:frames], taken_sv, lost_sv)


def drawn(fewest: int, most: int, generator: Generator) -> int:
    """A random integer from `fewest` to `most`, inclusive."""
    return int(torch.randint(fewest, most + 1, (), generator=generator))


def _within(bounds: tuple[int, int], most: int, generator: Generator) -> int:
    low, high = (min(bound, most) for bound in bounds)
    return drawn(low, high, generator)


def mix_clips(x_bmtvc: Tensor, mix: Mix) -> Tensor:
    """Clips mixed with their partners."""
    others = x_bmtvc.roll(-mix.offset, 0).index_select(2, sent(mix.frames_t, x_bmtvc.device))
    return x_bmtvc.lerp(others, sent(mix.share_tv, x_bmtvc.device)[..., None])


def mix_keys(keys_bd: Tensor, weight_bmsv: Tensor, mix: Mix) -> Tensor:
    """Keys (B, D) of mixed clips, unit vectors, in proportion to the weight present of each clip, mean over bodies."""
    taken_sv, lost_sv = (sent(share_sv, keys_bd.device) for share_sv in (mix.taken_sv, mix.lost_sv))
    share_bmsv = weight_bmsv / weight_bmsv.sum((2, 3), keepdim=True)
    taken_b1 = (share_bmsv.roll(-mix.offset, 0) * taken_sv).sum((2, 3)).mean(1, keepdim=True)
    kept_b1 = (share_bmsv * (1 - lost_sv)).sum((2, 3)).mean(1, keepdim=True)
    return normalize(keys_bd * kept_b1 + keys_bd.roll(-mix.offset, 0) * taken_b1, dim=1)
