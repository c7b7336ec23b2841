"""Finds bodies that need no separate computation: absent bodies (all zeros) and copies of the clip's first body.

The store's frames are examined once, in main memory; the masks of every crop follow without waiting for a GPU.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor

AT_ONCE = 1 << 16  # frames examined together


class Bodies(NamedTuple):
    """Two bool masks (B, M) in main memory: absent bodies, and present bodies equal to the clip's first."""

    absent_bm: Tensor
    copied_bm: Tensor

    def of(self, clips: slice) -> Bodies:
        """The masks of a slice of clips."""
        return Bodies(*(flags_bm[clips] for flags_bm in self))


class Frames(NamedTuple):
    """Two bool masks (F, M) in main memory: bodies that are all zeros, and bodies equal to the frame's first."""

    zero_fm: Tensor
    equal_fm: Tensor


def unknown(x_bmtvc: Tensor) -> Bodies:
    """Masks that mark no body of these views as absent or copied."""
    none_bm = torch.zeros(x_bmtvc.shape[:2], dtype=torch.bool)
    return Bodies(none_bm, none_bm)


def joined(several: Iterable[Bodies]) -> Bodies:
    """Concatenate the masks of several batches."""
    return Bodies(*(torch.cat(flags) for flags in zip(*several, strict=True)))


def bodies_seen(x_bmtvc: Tensor) -> Bodies:
    """Masks of views (B, M, T, V, 3), computed from their values; on a GPU this synchronises once."""
    return _bodies(*_look(x_bmtvc).cpu())


def bodies_between(frames: Frames, before_bt: Tensor, after_bt: Tensor, share_bt: Tensor) -> Bodies:
    """Masks of views interpolated by `share` between two frames of a store, derived without reading the views."""
    stays_bt1 = (share_bt == 0)[..., None]
    return _bodies(*((flags_fm[before_bt] & (flags_fm[after_bt] | stays_bt1)).all(dim=1) for flags_fm in frames))


def frames_of(frames_fmvc: Tensor) -> Frames:
    """Masks of a store's frames (F, M, V, 3)."""
    return Frames(*torch.cat([_look(part_fmvc) for part_fmvc in frames_fmvc.split(AT_ONCE)], dim=1).cpu())


def _look(x: Tensor) -> Tensor:
    """(·, M, …) → (2, ·, M): bodies that are all zeros, and bodies equal to the first."""
    values = x.flatten(2)
    return torch.stack([_all(values == 0), _all(values == values[:, :1])])


def _all(flags: Tensor) -> Tensor:
    """`flags.all(dim=-1)`, as a minimum of bytes: on CPUs twice as fast."""
    return flags.view(torch.uint8).amin(dim=-1).bool()


def _bodies(zero_bm: Tensor, equal_bm: Tensor) -> Bodies:
    copied_bm = equal_bm & ~zero_bm
    copied_bm[:, 0] = False
    return Bodies(zero_bm, copied_bm)
