"""Clips cut, resized and rotated, a whole batch at a time, on the device that holds them (paper §4.2, Data Preprocessing)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Generator, Tensor

from stars.config import Sampling

if TYPE_CHECKING:
    from stars.data.store import ClipStore

SIDE_BY_SIDE = 4  # points that are rotated in one product: fastest of 1 to 25 on a CPU


@dataclass(frozen=True)
class Clips:
    """Some clips of a store, numbered 0 to N−1.

    frames: float32 (sum of frames, M, V, 3) in metres; starts: int64 (N,), each clip's first frame in it; lengths: int64 (N,), in frames;
    labels: int64 (N,), on the device. The first three are on the device, or all of them in main memory where it has no room for them.
    """

    frames: Tensor
    starts: Tensor
    lengths: Tensor
    labels: Tensor

    @property
    def device(self) -> torch.device:
        """Where views of them are."""
        return self.labels.device

    @classmethod
    def of(cls, store: ClipStore, index: np.ndarray, device: str | torch.device = "cpu") -> Clips:
        """The clips at rows `index` of a store, in that order; only their frames are read."""
        lengths = np.asarray(store.lengths)[index]
        starts = np.cumsum(lengths) - lengths
        source = np.repeat(np.asarray(store.offsets)[index] - starts, lengths) + np.arange(lengths.sum())
        frames = np.empty((len(source), *store.frames.shape[1:]), np.float32)
        # "clip" only so that numpy writes into `frames` directly: its default copies once more to check the indices first.
        np.take(store.frames, source, axis=0, out=frames, mode="clip")
        labels = np.asarray(store.labels)[index]
        held = device if has_room(torch.device(device), frames.nbytes) else "cpu"
        frames_fmvc, starts_n, lengths_n = (torch.from_numpy(array).to(held) for array in (frames, starts, lengths))
        return cls(frames_fmvc, starts_n, lengths_n, torch.from_numpy(labels).to(device))

    def __len__(self) -> int:
        return len(self.lengths)


def has_room(device: torch.device, size: int) -> bool:
    """Whether a GPU's memory holds so many bytes and leaves as much for the training; main memory always does."""
    return device.type != "cuda" or 2 * size <= torch.cuda.mem_get_info(device)[0]


def random_crop(clips: Clips, rows: Tensor, frames: int, sampling: Sampling, generator: Generator) -> Tensor:
    """Training views: a random stretch of each clip, resized, and rotated if `sampling.rotation`.

    Args:
        rows: clips, int64 (B,).
        frames: T, frames of a view.
        generator: on the CPU, whatever the clips' device, so that runs draw the same numbers everywhere.

    Returns (B, M, T, V, 3).
    """
    device = clips.frames.device
    draws_b2 = torch.rand(len(rows), 2, generator=generator, dtype=torch.float64).to(device)
    low, high = sampling.crop
    valid = clips.lengths[rows.to(device)]
    length = crop_length(valid, low + (high - low) * draws_b2[:, 0], sampling.min_frames)
    start = (draws_b2[:, 1] * (valid - length + 1)).long()
    x_bmtvc = crop_resize(clips, rows, start, length, frames)
    if sampling.rotation == 0:
        return x_bmtvc
    angles_b3 = (2 * torch.rand(len(rows), 3, generator=generator) - 1) * sampling.rotation
    return rotate(x_bmtvc, angles_b3.to(clips.device))


def crop_length(valid: Tensor, share: Tensor, min_frames: int) -> Tensor:
    """Frames of a random crop: `share` of `valid`, rounded down, at least `min_frames`, at most `valid`; int64 (B,)."""
    return (valid * share).long().clamp(min=min_frames).minimum(valid)


def centre_crop(clips: Clips, rows: Tensor, frames: int, crop: float = 0.9) -> Tensor:
    """Test views: (1 − crop)/2 of each clip left out at either end, rounded down to frames, then resized; (B, M, T, V, 3)."""
    valid = clips.lengths[rows.to(clips.lengths.device)]
    start = ((1 - crop) * valid.double() / 2).long()
    return crop_resize(clips, rows, start, valid - 2 * start, frames)


def crop_resize(clips: Clips, rows: Tensor, start: Tensor, length: Tensor, frames: int) -> Tensor:
    """Frames start to start + length of each clip, resized to `frames`; rows, start, length int64 (B,) → (B, M, frames, V, 3).

    Linear interpolation between two frames at half-pixel centres, ends repeated: F.interpolate(mode="linear", align_corners=False).
    """
    device = clips.frames.device
    rows = rows.to(device)
    last_b1 = length[:, None] - 1
    centres = torch.arange(frames, device=device) + 0.5
    place_bt = (centres * (length[:, None] / frames) - 0.5).clamp(min=0)
    before_bt = place_bt.long().minimum(last_b1)
    first_b1 = (clips.starts[rows] + start)[:, None]
    poses = clips.frames.flatten(1)
    resized = poses.index_select(0, (first_b1 + before_bt).flatten())
    after = poses.index_select(0, (first_b1 + (before_bt + 1).minimum(last_b1)).flatten())
    resized.lerp_(after, (place_bt - before_bt).view(-1, 1))
    return _sent(resized, clips.device).view(len(rows), frames, *clips.frames.shape[1:]).transpose(1, 2)


def _sent(views: Tensor, device: torch.device) -> Tensor:
    """Views on the device. From main memory they go by way of pinned memory, and nothing waits: the next batch is cut while this one is computed."""
    if views.device == device:
        return views
    return (views.pin_memory() if device.type == "cuda" else views).to(device, non_blocking=True)


def rotate(x_bmtvc: Tensor, angles_b3: Tensor) -> Tensor:
    """Each clip turned about the origin by R = Rz·Ry·Rx, all frames and bodies alike; angles (B, 3) about x, y, z in radians."""
    return mapped(x_bmtvc, rotation_matrix(angles_b3))


def mapped(x_bmtvc: Tensor, matrix_bcc: Tensor) -> Tensor:
    """Every point of a clip multiplied by the clip's own matrix (B, 3, 3), from the left."""
    x_btmvc = x_bmtvc.transpose(1, 2)  # a crop's order in memory
    # Products of 3 columns leave processors idle: several points side by side, with a block-diagonal matrix, take half the time.
    side_by_side = math.gcd(x_btmvc[0].numel() // 3, SIDE_BY_SIDE)
    maps = torch.kron(torch.eye(side_by_side, device=x_bmtvc.device), matrix_bcc.mT.contiguous())
    points = x_btmvc.reshape(len(maps), -1, 3 * side_by_side) @ maps
    return points.view(x_btmvc.shape).transpose(1, 2)


def rotation_matrix(angles_b3: Tensor) -> Tensor:
    """Rz·Ry·Rx of angles (B, 3) in radians, (B, 3, 3); a positive angle turns clockwise seen from the axis' tip, as in the release."""
    (sx, sy, sz), (cx, cy, cz) = (-angles_b3).sin().unbind(1), angles_b3.cos().unbind(1)
    entries = [
        *(cz * cy, cz * sy * sx - sz * cx, cz * sy * cx + sz * sx),
        *(sz * cy, sz * sy * sx + cz * cx, sz * sy * cx - cz * sx),
        *(-sy, cy * sx, cy * cx),
    ]
    return torch.stack(entries, 1).view(-1, 3, 3)
