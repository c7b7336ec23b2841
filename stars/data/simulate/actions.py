"""What the simulator can act: twenty motions as small tables of joint swings.

Classes that share a posture differ in motion: which joint swings, in which direction, how fast, in which phase to the others.
Main limbs are the right ones; left-handers perform the mirror image.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from stars.data.simulate.kinematics import (
    CHEST,
    L_ELBOW,
    L_HIP,
    L_KNEE,
    L_SHOULDER,
    NECK,
    PELVIS,
    R_ELBOW,
    R_HIP,
    R_KNEE,
    R_SHOULDER,
    SPINE,
    X,
    Y,
    Z,
)

PLACE = 25  # the row behind the joints: displacement of the whole body in its own frame, metres


@dataclass(frozen=True)
class Swing:
    """One channel of a motion: hold + swing · wave(cycle + phase), in radians (metres for PLACE)."""

    joint: int
    axis: int
    hold: float
    swing: float = 0.0
    phase: float = 0.0  # cycles
    wave: str = "sine"


@dataclass(frozen=True)
class Action:
    """A class: its tempo in cycles a second, what its performer does, and what a second person does at which distance."""

    name: str
    tempo: float
    swings: tuple[Swing, ...]
    partner: tuple[Swing, ...] = ()
    distance: float = 0.0  # metres between the two

    @property
    def people(self) -> int:
        return 2 if self.distance else 1


def wave(kind: str, cycle: np.ndarray) -> np.ndarray:
    """Periodic curves of period 1. sine: −1…1; lift: 0…1…0; strike: as lift, up quickly and back slowly; steady: once 0…1 in two periods, then held."""
    if kind == "sine":
        return np.sin(2 * np.pi * cycle)
    if kind == "steady":
        return np.clip(cycle / 2, 0, 1)
    part = cycle % 1
    if kind == "strike":
        part = part**0.45
    return 0.5 - 0.5 * np.cos(2 * np.pi * part)


def _gait(stride: float) -> tuple[Swing, ...]:
    """Legs and counter-swinging arms of a walk with two steps a cycle."""
    return (
        Swing(R_HIP, X, 0, stride, 0.0),
        Swing(L_HIP, X, 0, stride, 0.5),
        Swing(R_KNEE, X, 0.5 * stride, 0.5 * stride, 0.25),
        Swing(L_KNEE, X, 0.5 * stride, 0.5 * stride, 0.75),
        Swing(R_SHOULDER, X, 0, 0.7 * stride, 0.5),
        Swing(L_SHOULDER, X, 0, 0.7 * stride, 0.0),
    )


FOREARM_UP = (Swing(R_SHOULDER, Z, -1.2), Swing(R_SHOULDER, Y, -1.3))
HANDS_IN_FRONT = (Swing(R_SHOULDER, X, -0.7), Swing(L_SHOULDER, X, -0.7), Swing(R_ELBOW, X, -1.1), Swing(L_ELBOW, X, -1.1))
PUSH = (Swing(R_SHOULDER, X, -0.5, -0.8, 0, "strike"), Swing(R_ELBOW, X, -1.7, 1.5, 0, "strike"))

SINGLE = (
    Action("wave", 1.1, (*FOREARM_UP, Swing(R_ELBOW, X, -1.3, 0.7))),
    Action("beckon", 1.0, (Swing(R_SHOULDER, X, -1.5), Swing(R_ELBOW, X, -1.3, 0.9))),
    Action("circle arm", 0.7, (Swing(R_SHOULDER, X, -1.2, 0.8), Swing(R_SHOULDER, Z, -0.8, 0.8, 0.25), Swing(R_ELBOW, X, -0.2))),
    Action(
        "chop",
        0.8,
        (
            Swing(R_SHOULDER, X, -1.4, 0.8),
            Swing(L_SHOULDER, X, -1.4, 0.8),
            Swing(R_ELBOW, X, -1.0, 0.5, 0.08),
            Swing(L_ELBOW, X, -1.0, 0.5, 0.08),
        ),
    ),
    Action("push", 0.7, (Swing(R_SHOULDER, X, -0.6, -0.7), Swing(R_ELBOW, X, -1.2, 1.1))),
    Action("clap", 1.3, (*HANDS_IN_FRONT, Swing(R_SHOULDER, Y, 0.1, 0.5), Swing(L_SHOULDER, Y, -0.1, -0.5))),
    Action("rub hands", 1.2, (*HANDS_IN_FRONT, Swing(R_SHOULDER, X, 0, 0.3), Swing(L_SHOULDER, X, 0, -0.3))),
    Action(
        "drink",
        0.4,
        (Swing(R_SHOULDER, X, 0, -0.8, 0, "lift"), Swing(R_ELBOW, X, -0.5, -1.7, 0, "lift"), Swing(NECK, X, 0, -0.3, 0, "lift")),
    ),
    Action(
        "throw",
        0.5,
        (
            Swing(R_SHOULDER, X, 0.4, -2.6, 0, "strike"),
            Swing(R_ELBOW, X, -1.4, 1.0, 0.1, "strike"),
            Swing(SPINE, Y, -0.2, 0.5, 0, "strike"),
        ),
    ),
    Action("nod", 0.9, (Swing(NECK, X, 0.2, 0.55), Swing(CHEST, X, 0.05, 0.1))),
    Action(
        "bow",
        0.4,
        (
            Swing(PELVIS, X, 0, 0.5, 0, "lift"),
            Swing(SPINE, X, 0, 0.45, 0, "lift"),
            Swing(R_HIP, X, 0, -0.5, 0, "lift"),
            Swing(L_HIP, X, 0, -0.5, 0, "lift"),
        ),
    ),
    Action(
        "squat",
        0.45,
        (
            Swing(R_HIP, X, 0, -1.3, 0, "lift"),
            Swing(L_HIP, X, 0, -1.3, 0, "lift"),
            Swing(R_KNEE, X, 0, 1.7, 0, "lift"),
            Swing(L_KNEE, X, 0, 1.7, 0, "lift"),
            Swing(PELVIS, X, 0, 0.3, 0, "lift"),
        ),
    ),
    Action(
        "kick",
        0.6,
        (Swing(R_HIP, X, 0.3, -1.6, 0, "strike"), Swing(R_KNEE, X, 0.9, -0.8, 0, "strike"), Swing(PELVIS, X, 0, -0.15, 0, "strike")),
    ),
    Action(
        "march", 0.7, (Swing(R_HIP, X, -0.5, -0.7), Swing(R_KNEE, X, 0.6, 0.8), Swing(L_HIP, X, -0.5, 0.7), Swing(L_KNEE, X, 0.6, -0.8))
    ),
    Action("twist", 0.6, (Swing(SPINE, Y, 0, 0.6), Swing(CHEST, Y, 0, 0.35), Swing(R_ELBOW, X, -0.8), Swing(L_ELBOW, X, -0.8))),
)
REACH = (Swing(R_SHOULDER, X, -0.8), Swing(R_ELBOW, X, -0.5))
TOGETHER = (
    Action("shake hands", 1.2, (*REACH, Swing(R_ELBOW, X, 0, 0.3)), (*REACH, Swing(R_ELBOW, X, 0, 0.3)), 0.95),
    Action("push the other", 0.5, PUSH, (Swing(PELVIS, X, 0, -0.25, 0.9, "strike"), Swing(PLACE, Z, 0, -0.25, 0.9, "strike")), 0.85),
    Action(
        "walk together", 0.7, (*_gait(0.5), Swing(PLACE, Z, 0, 0.7, 0, "steady")), (*_gait(0.5), Swing(PLACE, Z, 0, 0.7, 0, "steady")), 2.3
    ),
    Action(
        "walk apart", 0.7, (*_gait(0.5), Swing(PLACE, Z, 0, -0.6, 0, "steady")), (*_gait(0.5), Swing(PLACE, Z, 0, -0.6, 0, "steady")), 0.9
    ),
    Action(
        "high five",
        0.5,
        (Swing(R_SHOULDER, X, 0, -2.0, 0, "lift"), Swing(R_ELBOW, X, -0.9, 0.5, 0, "lift")),
        (Swing(R_SHOULDER, X, 0, -2.0, 0, "lift"), Swing(R_ELBOW, X, -0.9, 0.5, 0, "lift")),
        0.95,
    ),
)
ACTIONS: dict[int, Action] = dict(enumerate((*SINGLE, *TOGETHER), start=1))


def chosen(count: int, described: Collection[int] = ACTIONS, bodies: int = 2) -> tuple[int, ...]:
    """Numbers of the motions acted for a data set with up to `count` classes: three quarters alone, the last quarter in pairs.

    Motion n stands for action n of the description, so that only the numbers in `described` are acted, and nobody in pairs where
    a clip holds one body.
    """
    known = [number for number in ACTIONS if number in described]
    together = [number for number in known if ACTIONS[number].people == 2 <= bodies]
    pairs = min(count // 4, len(together))
    alone = [number for number in known if ACTIONS[number].people == 1]
    return (*alone[: count - pairs], *together[:pairs])
