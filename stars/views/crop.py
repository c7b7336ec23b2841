"""Crops, resizes and rotates batches of clips on their device (paper §4.2, Data Preprocessing)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Generator, Tensor

from stars.config import Sampling
from stars.data.bodies import Bodies, Frames, bodies_between, frames_of
from stars.data.device import sent

if TYPE_CHECKING:
    from stars.data.store import ClipStore

SIDE_BY_SIDE = 4  # points rotated in one product: the fastest of 1 to 25 on a CPU


@dataclass(frozen=True)
class Clips:
    """Clips of a store, numbered 0 to N−1.

    frames: float32 (sum of frames, M, V, 3) in metres, on the device, or in main memory if they do not fit; starts:
    int64 (N,), each clip's first frame in it, and lengths: int64 (N,), in frames, both in main memory; labels: int64
    (N,), on the device.
    """

    frames: Tensor
    starts: Tensor
    lengths: Tensor
    labels: Tensor

    @property
    def device(self) -> torch.device:
        """Device of their views."""
        return self.labels.device

    @classmethod
    def of(cls, store: ClipStore, index: np.ndarray, device: str | torch.device = "cpu") -> Clips:
        """Load the clips at rows `index` of a store, in that order; only their frames are read."""
        lengths = np.asarray(store.lengths)[index]
        starts = np.cumsum(lengths) - lengths
        frames = store.gather(index)
        labels = np.asarray(store.labels)[index]
        held = device if has_room(torch.device(device), frames.nbytes) else "cpu"
        return cls(
            torch.from_numpy(frames).to(held),
            torch.from_numpy(starts),
            torch.from_numpy(lengths),
            torch.from_numpy(labels).to(device),
        )

    def __len__(self) -> int:
        return len(self.lengths)

    @cached_property
    def looked_at(self) -> Frames:
        """Masks of the frames' bodies, computed once."""
        return frames_of(self.frames)


class Cut(NamedTuple):
    """Source of views: each frame interpolates between two frames of the store by `share`; (B, T) in main memory."""

    before_bt: Tensor
    after_bt: Tensor
    share_bt: Tensor


class View(NamedTuple):
    """A crop of each clip of a batch (B, M, T, V, 3), and the masks of its bodies."""

    x_bmtvc: Tensor
    bodies: Bodies

    def of(self, clips: slice) -> View:
        """The view of a slice of clips."""
        return View(self.x_bmtvc[clips], self.bodies.of(clips))


def has_room(device: torch.device, size: int) -> bool:
    """Whether a GPU's free memory is at least twice `size` bytes; True for main memory."""
    return device.type != "cuda" or 2 * size <= torch.cuda.mem_get_info(device)[0]


def random_crop(clips: Clips, rows: Tensor, frames: int, sampling: Sampling, generator: Generator) -> Tensor:
    """Training views: a random crop of each clip, resized, and rotated if `sampling.rotation`.

    Args:
        rows: clips, int64 (B,).
        frames: T, frames of a view.
        generator: on the CPU for any device, so that all devices use the same random numbers.

    Returns (B, M, T, V, 3).
    """
    return _rotated(_resized(clips, _random_cut(clips, rows, frames, sampling, generator)), sampling, generator)


def random_view(clips: Clips, rows: Tensor, frames: int, sampling: Sampling, generator: Generator) -> View:
    """`random_crop`, with the masks of bodies."""
    cut = _random_cut(clips, rows, frames, sampling, generator)
    return View(_rotated(_resized(clips, cut), sampling, generator), bodies_between(clips.looked_at, *cut))


def random_views(
    clips: Clips, rows: Tensor, frames: int, samplings: Sequence[Sampling], shared: bool, generator: Generator
) -> list[View]:
    """A view of each clip for each of `samplings`; with `shared`, equal crop settings share one crop, with separate
    rotations.
    """
    cuts: dict[tuple[object, ...], Cut] = {}
    views = []
    for number, sampling in enumerate(samplings):
        alike = (sampling.crop, sampling.min_frames) if shared else (number,)
        if alike not in cuts:
            cuts[alike] = _random_cut(clips, rows, frames, sampling, generator)
        cut = cuts[alike]
        views.append(View(_rotated(_resized(clips, cut), sampling, generator), bodies_between(clips.looked_at, *cut)))
    return views


def _random_cut(clips: Clips, rows: Tensor, frames: int, sampling: Sampling, generator: Generator) -> Cut:
    share_b, place_b = torch.rand(len(rows), 2, generator=generator, dtype=torch.float64).unbind(1)
    low, high = sampling.crop
    valid = clips.lengths[rows]
    length = crop_length(valid, low + (high - low) * share_b, sampling.min_frames)
    return _cut(clips, rows, (place_b * (valid - length + 1)).long(), length, frames)


def _rotated(x_bmtvc: Tensor, sampling: Sampling, generator: Generator) -> Tensor:
    if sampling.rotation == 0:
        return x_bmtvc
    return rotate(x_bmtvc, (2 * torch.rand(len(x_bmtvc), 3, generator=generator) - 1) * sampling.rotation)


def crop_length(valid: Tensor, share: Tensor, min_frames: int) -> Tensor:
    """Frames of a random crop: `share` of `valid`, rounded down, at least `min_frames`, at most `valid`; int64 (B,)."""
    return (valid * share).long().clamp(min=min_frames).minimum(valid)


def centre_view(clips: Clips, rows: Tensor, frames: int, crop: float = 0.9) -> View:
    """Test views: (1 − crop)/2 of each clip is dropped at both ends, rounded down to frames; the rest is resized."""
    valid = clips.lengths[rows]
    start = ((1 - crop) * valid.double() / 2).long()
    return resized_view(clips, rows, start, valid - 2 * start, frames)


def resized_view(clips: Clips, rows: Tensor, start: Tensor, length: Tensor, frames: int) -> View:
    """Frames start to start + length of each clip, resized to `frames`; rows, start, length int64 (B,).

    Linear interpolation between two frames at half-pixel centres, ends repeated: F.interpolate(mode="linear",
    align_corners=False).
    """
    cut = _cut(clips, rows, start, length, frames)
    return View(_resized(clips, cut), bodies_between(clips.looked_at, *cut))


def _cut(clips: Clips, rows: Tensor, start: Tensor, length: Tensor, frames: int) -> Cut:
    last_b1 = length[:, None] - 1
    place_bt = ((torch.arange(frames) + 0.5) * (length[:, None] / frames) - 0.5).clamp(min=0)
    before_bt = place_bt.long().minimum(last_b1)
    first_b1 = (clips.starts[rows] + start)[:, None]
    return Cut(first_b1 + before_bt, first_b1 + (before_bt + 1).minimum(last_b1), place_bt - before_bt)


def _resized(clips: Clips, cut: Cut) -> Tensor:
    """The views of a cut, (B, M, T, V, 3), computed where the frames are and copied to the device."""
    before, after, share = (sent(place_bt.flatten(), clips.frames.device) for place_bt in cut)
    poses = clips.frames.flatten(1)
    resized = poses.index_select(0, before)
    resized.lerp_(poses.index_select(0, after), share[:, None])
    return sent(resized, clips.device).view(*cut.before_bt.shape, *clips.frames.shape[1:]).transpose(1, 2)


def rotate(x_bmtvc: Tensor, angles_b3: Tensor) -> Tensor:
    """Rotate each clip about the origin by R = Rz·Ry·Rx, the same for all frames and bodies; angles (B, 3) in
    radians, in main memory.
    """
    return mapped(x_bmtvc, rotation_matrix(angles_b3))


def mapped(x_bmtvc: Tensor, matrix_bcc: Tensor) -> Tensor:
    """Multiply all points of each clip from the left by its matrix; matrices (B, 3, 3) in main memory."""
    x_btmvc = x_bmtvc.transpose(1, 2)  # a crop's memory layout
    # Products of 3 columns leave processors idle: several points per product, with a block-diagonal matrix, take half
    # the time.
    side_by_side = math.gcd(x_btmvc[0].numel() // 3, SIDE_BY_SIDE)
    maps = sent(torch.kron(torch.eye(side_by_side), matrix_bcc.mT.contiguous()), x_bmtvc.device)
    points = x_btmvc.reshape(len(maps), -1, 3 * side_by_side) @ maps
    return points.view(x_btmvc.shape).transpose(1, 2)


def rotation_matrix(angles_b3: Tensor) -> Tensor:
    """Rz·Ry·Rx of angles (B, 3) in radians, (B, 3, 3); a positive angle turns clockwise seen from the axis' tip, as
    in the release.
    """
    (sx, sy, sz), (cx, cy, cz) = (-angles_b3).sin().unbind(1), angles_b3.cos().unbind(1)
    entries = [
        *(cz * cy, cz * sy * sx - sz * cx, cz * sy * cx + sz * sx),
        *(sz * cy, sz * sy * sx + cz * cx, sz * sy * cx - cz * sx),
        *(-sy, cy * sx, cy * cx),
    ]
    return torch.stack(entries, 1).view(-1, 3, 3)
