"""Two-body denoising: which of the bodies a tracker saw are the actors, as the published NTU preprocessing decides it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from stars.config import Denoise
from stars.data.readers import Body, Sightings

MOST_ACTORS = 2


class Step(StrEnum):
    """The step of denoising that settles what becomes of a body id."""

    ALONE = "the only one seen"
    FRAMES = "too few frames"
    SPREAD = "too wide for a body"
    ACTOR = "the first of an actor"
    MERGED = "one person with an earlier id"
    NOBODY = "no actor is free at that time"


@dataclass(eq=False)
class Decision:
    """What became of a body id; `noisy` and `motion` are None where no step asked for them.

    Attributes:
        actor: 0 or 1; None: the body is dropped.
        noisy: share of frames whose spread is implausible; motion: variance over joints and frames, plausible ones at the least, m².
    """

    id: int
    body: Body
    step: Step = Step.NOBODY
    actor: int | None = None
    noisy: float | None = None
    motion: np.float32 | None = None


def denoise(clip: Sightings, settings: Denoise) -> np.ndarray:
    """A clip's sightings as actors: (T, 1 or 2, V, 3) float32 in metres, zeros where an actor is absent; T is 0 if nobody is left.

    Frames without a body are not counted. Only a clip with several body ids is denoised; then frames left empty go too.
    """
    x_tmvc = placed(decide(clip, settings), clip.frames)
    return x_tmvc if len(clip.bodies) < 2 else x_tmvc[x_tmvc.any(axis=(1, 2, 3))]


def decide(clip: Sightings, settings: Denoise) -> list[Decision]:
    """What becomes of every body id, in the order in which it is settled: too few frames, too wide, then by motion, the most moving first."""
    seen = [Decision(number, body) for number, body in clip.bodies.items()]
    if len(seen) < 2:
        return [Decision(only.id, only.body, Step.ALONE, actor=0) for only in seen]
    short = [case for case in seen if len(case.body.joints) < settings.min_frames]
    for case in short:
        case.step = Step.FRAMES
    left = [case for case in seen if case.step is not Step.FRAMES]
    wide = _too_wide(left, settings) if len(left) > 1 else []
    left = sorted((case for case in left if case.step is not Step.SPREAD), key=lambda case: case.motion or 0, reverse=True)
    _hand_out(left)
    return [*short, *wide, *left]


def placed(decisions: list[Decision], frames: int) -> np.ndarray:
    """The bodies of actors at their times, (frames, 1 or 2, V, 3), zeros elsewhere; no frames where there is no actor."""
    kept = [case for case in decisions if case.actor is not None]
    # Two bodies that come this far make two actors, even where the second one has nobody.
    actors = min(MOST_ACTORS, sum(case.step not in (Step.FRAMES, Step.SPREAD) for case in decisions))
    x_tmvc = np.zeros((frames if kept else 0, actors, kept[0].body.joints.shape[1] if kept else 0, 3), np.float32)
    for case in kept:
        x_tmvc[case.body.start : case.body.end, case.actor] = case.body.joints
    return x_tmvc


def motion(joints_nvc: np.ndarray) -> np.float32:
    """How much a body moves: the variance over all its joints and frames, summed over x, y, z."""
    return np.sum(np.var(joints_nvc.reshape(-1, 3), axis=0))


def _too_wide(bodies: list[Decision], settings: Denoise) -> list[Decision]:
    """Those of implausible spread, and how much every one moves. The last one left is never dropped."""
    dropped: list[Decision] = []
    for case in bodies:
        case.motion = motion(case.body.joints)
        if len(dropped) == len(bodies) - 1:
            continue
        plausible = _plausible(case.body.joints, settings.max_spread)
        case.noisy = (~plausible).sum() / len(plausible)
        if case.noisy >= settings.max_noisy_share:
            case.step = Step.SPREAD
            dropped.append(case)
        elif not plausible.all():
            case.motion = min(case.motion, motion(case.body.joints[plausible]))
    return dropped


def _plausible(joints_nvc: np.ndarray, max_spread: float) -> np.ndarray:
    """(n,) bool: the body is not much wider than high, as furniture taken for a body is."""
    width, height, _ = np.moveaxis(np.ptp(joints_nvc, axis=1), -1, 0)
    return width <= np.float32(max_spread) * height


@dataclass
class _Interval:
    """Frames between the first and the last body of an actor."""

    start: int
    end: int

    def free(self, body: Body) -> bool:
        return min(self.end, body.end) - max(self.start, body.start) <= 1

    def take(self, body: Body) -> None:
        self.start, self.end = min(self.start, body.start), max(self.end, body.end)


def _hand_out(bodies: list[Decision]) -> None:
    """Hand each body to the first actor that is free at that time; a body for which none is free is nobody."""
    # The published rule lets the second actor's interval begin as frame 0 alone, and calls a single shared frame no overlap.
    actors = [_Interval(case.body.start, case.body.end) for case in bodies[:1]] + [_Interval(0, 1)]
    begun: set[int] = set()
    for index, case in enumerate(bodies):
        case.actor = 0 if index == 0 else next((number for number, held in enumerate(actors) if held.free(case.body)), None)
        if case.actor is not None:
            actors[case.actor].take(case.body)
            case.step = Step.MERGED if case.actor in begun else Step.ACTOR
            begun.add(case.actor)
