"""Two-body denoising: selects the actors among the tracked bodies, as the published NTU preprocessing does."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from stars.config import Denoise
from stars.data.readers import Body, Sightings

MOST_ACTORS = 2


class Step(StrEnum):
    """The denoising step that decided a body id."""

    ALONE = "the only one seen"
    FRAMES = "too few frames"
    SPREAD = "too wide for a body"
    ACTOR = "the first of an actor"
    MERGED = "one person with an earlier id"
    NOBODY = "no actor is free at that time"


@dataclass(eq=False)
class Decision:
    """Outcome for a body id; `noisy` and `motion` are None if no step needed them.

    Attributes:
        actor: 0 or 1; None: the body is dropped.
        noisy: fraction of frames with an implausible spread; motion: variance over joints and (at least the plausible)
            frames, m².
    """

    id: int
    body: Body
    step: Step = Step.NOBODY
    actor: int | None = None
    noisy: float | None = None
    motion: np.float32 | None = None


def denoise(clip: Sightings, settings: Denoise) -> np.ndarray:
    """Sightings of a clip → actors (T, 1 or 2, V, 3) float32 in metres, zeros where an actor is absent; T is 0 if
    nobody is left.

    Frames without a body are dropped. Only clips with several body ids are denoised; frames that this empties are
    dropped, too.
    """
    x_tmvc = placed(decide(clip, settings), clip.frames)
    return x_tmvc if len(clip.bodies) < 2 else x_tmvc[x_tmvc.any(axis=(1, 2, 3))]


def decide(clip: Sightings, settings: Denoise) -> list[Decision]:
    """Decide every body id, in this order: too few frames, too wide, then by motion, largest first."""
    seen = [Decision(number, body) for number, body in clip.bodies.items()]
    if len(seen) < 2:
        return [Decision(only.id, only.body, Step.ALONE, actor=0) for only in seen]
    short = [case for case in seen if len(case.body.joints) < settings.min_frames]
    for case in short:
        case.step = Step.FRAMES
    left = [case for case in seen if case.step is not Step.FRAMES]
    wide = _too_wide(left, settings) if len(left) > 1 else []
    left = sorted(
        (case for case in left if case.step is not Step.SPREAD), key=lambda case: case.motion or 0, reverse=True
    )
    _hand_out(left)
    return [*short, *wide, *left]


def placed(decisions: list[Decision], frames: int) -> np.ndarray:
    """Place the actors' bodies in time, (frames, 1 or 2, V, 3), zeros elsewhere; no frames if there is no actor."""
    kept = [case for case in decisions if case.actor is not None]
    # Two remaining bodies make two actors, even if the second actor is empty.
    actors = min(MOST_ACTORS, sum(case.step not in (Step.FRAMES, Step.SPREAD) for case in decisions))
    x_tmvc = np.zeros((frames if kept else 0, actors, kept[0].body.joints.shape[1] if kept else 0, 3), np.float32)
    for case in kept:
        x_tmvc[case.body.start : case.body.end, case.actor] = case.body.joints
    return x_tmvc


def motion(joints_nvc: np.ndarray) -> np.float32:
    """Motion of a body: variance over all joints and frames, summed over x, y, z."""
    return np.sum(np.var(joints_nvc.reshape(-1, 3), axis=0))


def _too_wide(bodies: list[Decision], settings: Denoise) -> list[Decision]:
    """Drop bodies of implausible spread and compute every body's motion. The last remaining body is kept."""
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
    """(n,) bool: the body is not much wider than high, unlike furniture mistaken for a body."""
    width, height, _ = np.moveaxis(np.ptp(joints_nvc, axis=1), -1, 0)
    return width <= np.float32(max_spread) * height


@dataclass
class _Interval:
    """Frames between an actor's first and last body."""

    start: int
    end: int

    def free(self, body: Body) -> bool:
        return min(self.end, body.end) - max(self.start, body.start) <= 1

    def take(self, body: Body) -> None:
        self.start, self.end = min(self.start, body.start), max(self.end, body.end)


def _hand_out(bodies: list[Decision]) -> None:
    """Assign each body to the first actor that is free at that time; otherwise drop it."""
    # In the published rule the second actor's interval starts as frame 0 alone, and one shared frame is no overlap.
    actors = [_Interval(case.body.start, case.body.end) for case in bodies[:1]] + [_Interval(0, 1)]
    begun: set[int] = set()
    for index, case in enumerate(bodies):
        case.actor = (
            0 if index == 0 else next((number for number, held in enumerate(actors) if held.free(case.body)), None)
        )
        if case.actor is not None:
            actors[case.actor].take(case.body)
            case.step = Step.MERGED if case.actor in begun else Step.ACTOR
            begun.add(case.actor)
