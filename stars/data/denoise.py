"""Two-body denoising: which of the bodies a tracker saw are the actors, as the published NTU preprocessing decides it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stars.config import Denoise
from stars.data.readers import Body, Sightings

MOST_ACTORS = 2


def denoise(clip: Sightings, settings: Denoise) -> np.ndarray:
    """A clip's sightings as actors: (T, 1 or 2, V, 3) float32 in metres, zeros where an actor is absent; T is 0 if nobody is left.

    Frames without a body are not counted. Only a clip with several body ids is denoised; then frames left empty go too.
    """
    bodies = list(clip.bodies.values())
    if len(bodies) < 2:
        return _placed([[body] for body in bodies], clip.frames)
    bodies = [body for body in bodies if len(body.joints) >= settings.min_frames]
    if len(bodies) > 1:
        bodies = _by_motion(bodies, settings)
    x_tmvc = _placed(_actors(bodies), clip.frames)
    return x_tmvc[x_tmvc.any(axis=(1, 2, 3))]


def motion(joints_nvc: np.ndarray) -> np.float32:
    """How much a body moves: the variance over all its joints and frames, summed over x, y, z."""
    return np.sum(np.var(joints_nvc.reshape(-1, 3), axis=0))


def _by_motion(bodies: list[Body], settings: Denoise) -> list[Body]:
    """Bodies of plausible spread, the most moving first. The last one left is never dropped."""
    kept, moved = list(bodies), {body: motion(body.joints) for body in bodies}
    for body in bodies:
        if len(kept) == 1:
            break
        plausible = _plausible(body.joints, settings.max_spread)
        if (~plausible).sum() / len(plausible) >= settings.max_noisy_share:
            kept.remove(body)
        elif not plausible.all():
            moved[body] = min(moved[body], motion(body.joints[plausible]))
    return sorted(kept, key=moved.__getitem__, reverse=True)


def _plausible(joints_nvc: np.ndarray, max_spread: float) -> np.ndarray:
    """(n,) bool: the body is not much wider than high, as furniture taken for a body is."""
    width, height, _ = np.moveaxis(np.ptp(joints_nvc, axis=1), -1, 0)
    return width <= np.float32(max_spread) * height


@dataclass
class _Actor:
    """Bodies that are one person after the other, and the frames between the first and the last of them."""

    bodies: list[Body]
    start: int
    end: int

    def free(self, body: Body) -> bool:
        return min(self.end, body.end) - max(self.start, body.start) <= 1

    def take(self, body: Body) -> None:
        self.bodies.append(body)
        self.start, self.end = min(self.start, body.start), max(self.end, body.end)


def _actors(bodies: list[Body]) -> list[list[Body]]:
    """Hand each body to the first actor that is free at that time; a body for which none is free is nobody."""
    if len(bodies) < 2:
        return [[body] for body in bodies]
    # The published rule lets the second actor's interval begin as frame 0 alone, and calls a single shared frame no overlap.
    actors = [_Actor([bodies[0]], bodies[0].start, bodies[0].end), _Actor([], 0, 1)]
    for body in bodies[1:]:
        actor = next((actor for actor in actors if actor.free(body)), None)
        if actor:
            actor.take(body)
    return [actor.bodies for actor in actors]


def _placed(actors: list[list[Body]], frames: int) -> np.ndarray:
    joints = next((bodies[0].joints.shape[1] for bodies in actors if bodies), 0)
    x_tmvc = np.zeros((frames if actors else 0, len(actors), joints, 3), np.float32)
    for actor, bodies in enumerate(actors):
        for body in bodies:
            x_tmvc[body.start : body.end, actor] = body.joints
    return x_tmvc
