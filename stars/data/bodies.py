"""Which bodies need no computation of their own: absent ones, which are all zeros, and copies of their clip's first body.

What is known of a store's frames is known of every crop of them, in main memory: nobody has to wait for a GPU that looks.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor

AT_ONCE = 1 << 16  # frames looked at together


class Bodies(NamedTuple):
    """Of a batch's bodies, bool (B, M) in main memory: absent; copied, which is not absent and equal to the clip's first."""

    absent_bm: Tensor
    copied_bm: Tensor

    def of(self, clips: slice) -> Bodies:
        """Those of some clips."""
        return Bodies(*(flags_bm[clips] for flags_bm in self))


class Frames(NamedTuple):
    """Of each frame's bodies, bool (F, M) in main memory: all zeros; equal to the frame's first body."""

    zero_fm: Tensor
    equal_fm: Tensor


def unknown(x_bmtvc: Tensor) -> Bodies:
    """Nothing is known of these views: no body of theirs counts as absent or copied."""
    none_bm = torch.zeros(x_bmtvc.shape[:2], dtype=torch.bool)
    return Bodies(none_bm, none_bm)


def joined(several: Iterable[Bodies]) -> Bodies:
    """Those of several batches, one after the other."""
    return Bodies(*(torch.cat(flags) for flags in zip(*several, strict=True)))


def bodies_seen(x_bmtvc: Tensor) -> Bodies:
    """Those of views (B, M, T, V, 3), by looking at them: on a GPU this waits for it once."""
    return _bodies(*_look(x_bmtvc).cpu())


def bodies_between(frames: Frames, before_bt: Tensor, after_bt: Tensor, share_bt: Tensor) -> Bodies:
    """Those of views whose frames lie `share` of the way from one frame of a store to another, without looking at the views."""
    stays_bt1 = (share_bt == 0)[..., None]
    return _bodies(*((flags_fm[before_bt] & (flags_fm[after_bt] | stays_bt1)).all(dim=1) for flags_fm in frames))


def frames_of(frames_fmvc: Tensor) -> Frames:
    """Those of a store's frames (F, M, V, 3)."""
    return Frames(*torch.cat([_look(part_fmvc) for part_fmvc in frames_fmvc.split(AT_ONCE)], dim=1).cpu())


def _look(x: Tensor) -> Tensor:
    """(·, M, …) → (2, ·, M): which bodies are all zeros, and which equal to the first."""
    return torch.stack([(x == 0).flatten(2).all(dim=2), (x == x[:, :1]).flatten(2).all(dim=2)])


def _bodies(zero_bm: Tensor, equal_bm: Tensor) -> Bodies:
    copied_bm = equal_bm & ~zero_bm
    copied_bm[:, 0] = False
    return Bodies(zero_bm, copied_bm)
