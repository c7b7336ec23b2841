"""Measures every body of a clip store in one pass: presence, speed, rest and bone lengths."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from stars.data.store import ClipStore
from stars.inspect.skeleton import Skeleton


class Motion(NamedTuple):
    """Extremes of one body in one clip; frames, bodies and joints count from 0.

    Attributes:
        seen: frames with the body; speed: m/s of the fastest joint, `joint`, from frame `jump` to the next;
        still: seconds of the longest rest, from frame `stop`; height: metres along the up axis.
    """

    clip: int
    body: int
    seen: int
    speed: float
    jump: int
    joint: int
    still: float
    stop: int
    height: float


@dataclass(frozen=True, eq=False)
class Measures:
    """Measures of every body of every clip, one row each, in the store's order.

    Attributes:
        bodies: their motion; lengths: (rows, V) mean length of the bone to each joint, metres, zero for a root;
        longest: (rows, V) greatest length; at: (rows, V) its frame.
    """

    bodies: list[Motion]
    lengths: np.ndarray
    longest: np.ndarray
    at: np.ndarray

    def column(self, name: str) -> np.ndarray:
        """A field of Motion, (rows,)."""
        return np.array([getattr(body, name) for body in self.bodies])

    @property
    def typical(self) -> np.ndarray:
        """Median length of each bone over all bodies, (V,), metres."""
        return np.median(self.lengths, axis=0)

    @property
    def excess(self) -> np.ndarray:
        """Excess of each bone's greatest length over its median, (rows, V), metres."""
        return self.longest - self.typical


def measure(store: ClipStore, skeleton: Skeleton, fps: float, still: float) -> Measures:
    """Measure a store, reading it once. A second body that is a copy of the first is ignored.

    Args:
        fps: frames per second; still: metres; a body is at rest if no joint moves farther between two frames.
    """
    parents = np.arange(store.joints)
    parents[[joint for _, joint in skeleton.bones]] = [parent for parent, _ in skeleton.bones]
    people = store.table["bodies"].to_numpy()
    motions, bones = [], []
    for clip, x_tmvc in enumerate(store.stream()):
        for body in range(min(people[clip], store.bodies)):
            x_tvc = x_tmvc[:, body]
            seen = np.asarray(x_tvc.any(axis=(1, 2)))
            motions.append(Motion(clip, body, *_motion(x_tvc, seen, fps, still), _height(x_tvc[seen], skeleton.up)))
            bones.append(_bones(x_tvc, seen, parents))
    lengths, longest, at = (np.stack(parts) for parts in zip(*bones, strict=True))
    return Measures(motions, lengths, longest, at)


def _motion(x_tvc: np.ndarray, seen: np.ndarray, fps: float, still: float) -> tuple[int, float, int, int, float, int]:
    """Motion's fields seen to stop. Steps to or from a frame without the body are ignored."""
    steps = np.diff(x_tvc, axis=0)
    squared = np.einsum("tvc,tvc->tv", steps, steps)
    squared[~(seen[1:] & seen[:-1])] = np.nan
    if not np.isfinite(squared).any():
        return int(seen.sum()), 0.0, 0, 0, 0.0, 0
    jump, joint = divmod(int(np.nanargmax(squared)), x_tvc.shape[1])
    moving = np.flatnonzero(~(squared.max(axis=1) <= still**2))
    ends = np.concatenate([[-1], moving, [len(squared)]])
    rests = np.diff(ends) - 1
    longest = int(rests.argmax())
    return (
        int(seen.sum()),
        float(np.sqrt(squared[jump, joint])) * fps,
        jump,
        joint,
        int(rests[longest]) / fps,
        int(ends[longest]) + 1,
    )


def _bones(x_tvc: np.ndarray, seen: np.ndarray, parents: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean and greatest length of each bone over the frames with the body, and the frame of the greatest."""
    bones = x_tvc - x_tvc[:, parents]
    lengths = np.sqrt(np.einsum("tvc,tvc->tv", bones, bones))  # zero where the body is absent
    at = lengths.argmax(axis=0)
    return lengths.sum(axis=0) / max(seen.sum(), 1), lengths[at, np.arange(len(parents))], at


def _height(x_nvc: np.ndarray, up: int) -> float:
    return float(np.median(np.ptp(x_nvc[..., up], axis=1))) if len(x_nvc) else 0.0
