"""The simulator's fifty motions, as small tables of joint swings.

Classes with the same posture differ in motion: in the joint that swings, its direction, speed or phase. The demo uses
the first twenty. Most of the other thirty form a fine-grained pair (`PAIRS`) with another motion, from which they
differ only in phase, direction or limb. Actions are defined for right-handers; left-handers perform the mirror image.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

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

PLACE = 25  # row after the joints: displacement of the whole body in its own frame, metres


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
    """A class: tempo in cycles per second, the performer's motion, and a second person's motion and distance."""

    name: str
    tempo: float
    swings: tuple[Swing, ...]
    partner: tuple[Swing, ...] = ()
    distance: float = 0.0  # metres between the two

    @property
    def people(self) -> int:
        return 2 if self.distance else 1


def wave(kind: str, cycle: np.ndarray) -> np.ndarray:
    """Curves of period 1. sine: −1…1; lift: 0…1…0; strike: like lift, fast up and slowly back; steady: 0…1 over two
    periods, then constant.
    """
    if kind == "sine":
        return np.sin(2 * np.pi * cycle)
    if kind == "steady":
        return np.clip(cycle / 2, 0, 1)
    part = cycle % 1
    if kind == "strike":
        part = part**0.45
    return 0.5 - 0.5 * np.cos(2 * np.pi * part)


def _gait(stride: float) -> tuple[Swing, ...]:
    """Legs and counter-swinging arms of a walk with two steps per cycle."""
    return (
        Swing(R_HIP, X, 0, stride, 0.0),
        Swing(L_HIP, X, 0, stride, 0.5),
        Swing(R_KNEE, X, 0.5 * stride, 0.5 * stride, 0.25),
        Swing(L_KNEE, X, 0.5 * stride, 0.5 * stride, 0.75),
        Swing(R_SHOULDER, X, 0, 0.7 * stride, 0.5),
        Swing(L_SHOULDER, X, 0, 0.7 * stride, 0.0),
    )


FOREARM_UP = (Swing(R_SHOULDER, Z, -1.2), Swing(R_SHOULDER, Y, -1.3))
HANDS_IN_FRONT = (
    Swing(R_SHOULDER, X, -0.7),
    Swing(L_SHOULDER, X, -0.7),
    Swing(R_ELBOW, X, -1.1),
    Swing(L_ELBOW, X, -1.1),
)
PUSH = (Swing(R_SHOULDER, X, -0.5, -0.8, 0, "strike"), Swing(R_ELBOW, X, -1.7, 1.5, 0, "strike"))

SINGLE = (
    Action("wave", 1.1, (*FOREARM_UP, Swing(R_ELBOW, X, -1.3, 0.7))),
    Action("beckon", 1.0, (Swing(R_SHOULDER, X, -1.5), Swing(R_ELBOW, X, -1.3, 0.9))),
    Action(
        "circle arm",
        0.7,
        (Swing(R_SHOULDER, X, -1.2, 0.8), Swing(R_SHOULDER, Z, -0.8, 0.8, 0.25), Swing(R_ELBOW, X, -0.2)),
    ),
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
        (
            Swing(R_SHOULDER, X, 0, -0.8, 0, "lift"),
            Swing(R_ELBOW, X, -0.5, -1.7, 0, "lift"),
            Swing(NECK, X, 0, -0.3, 0, "lift"),
        ),
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
        (
            Swing(R_HIP, X, 0.3, -1.6, 0, "strike"),
            Swing(R_KNEE, X, 0.9, -0.8, 0, "strike"),
            Swing(PELVIS, X, 0, -0.15, 0, "strike"),
        ),
    ),
    Action(
        "march",
        0.7,
        (
            Swing(R_HIP, X, -0.5, -0.7),
            Swing(R_KNEE, X, 0.6, 0.8),
            Swing(L_HIP, X, -0.5, 0.7),
            Swing(L_KNEE, X, 0.6, -0.8),
        ),
    ),
    Action(
        "twist",
        0.6,
        (Swing(SPINE, Y, 0, 0.6), Swing(CHEST, Y, 0, 0.35), Swing(R_ELBOW, X, -0.8), Swing(L_ELBOW, X, -0.8)),
    ),
)
REACH = (Swing(R_SHOULDER, X, -0.8), Swing(R_ELBOW, X, -0.5))
TOGETHER = (
    Action("shake hands", 1.2, (*REACH, Swing(R_ELBOW, X, 0, 0.3)), (*REACH, Swing(R_ELBOW, X, 0, 0.3)), 0.95),
    Action(
        "push the other",
        0.5,
        PUSH,
        (Swing(PELVIS, X, 0, -0.25, 0.9, "strike"), Swing(PLACE, Z, 0, -0.25, 0.9, "strike")),
        0.85,
    ),
    Action(
        "walk together",
        0.7,
        (*_gait(0.5), Swing(PLACE, Z, 0, 0.7, 0, "steady")),
        (*_gait(0.5), Swing(PLACE, Z, 0, 0.7, 0, "steady")),
        2.3,
    ),
    Action(
        "walk apart",
        0.7,
        (*_gait(0.5), Swing(PLACE, Z, 0, -0.6, 0, "steady")),
        (*_gait(0.5), Swing(PLACE, Z, 0, -0.6, 0, "steady")),
        0.9,
    ),
    Action(
        "high five",
        0.5,
        (Swing(R_SHOULDER, X, 0, -2.0, 0, "lift"), Swing(R_ELBOW, X, -0.9, 0.5, 0, "lift")),
        (Swing(R_SHOULDER, X, 0, -2.0, 0, "lift"), Swing(R_ELBOW, X, -0.9, 0.5, 0, "lift")),
        0.95,
    ),
)


def _arms(*swings: Swing) -> tuple[Swing, ...]:
    """Swings of the right arm, repeated for the left arm."""
    left = {R_SHOULDER: L_SHOULDER, R_ELBOW: L_ELBOW, R_HIP: L_HIP, R_KNEE: L_KNEE}
    sides = {X: 1, Y: -1, Z: -1}
    other = (
        replace(one, joint=left[one.joint], hold=sides[one.axis] * one.hold, swing=sides[one.axis] * one.swing)
        for one in swings
    )
    return (*swings, *other)


def _later(swings: tuple[Swing, ...], cycles: float, joints: Collection[int] | None = None) -> tuple[Swing, ...]:
    """The same swings, those of `joints` (default: all) delayed by `cycles`."""
    return tuple(
        replace(one, phase=one.phase - cycles) if joints is None or one.joint in joints else one for one in swings
    )


LEFT = (L_SHOULDER, L_ELBOW, L_HIP, L_KNEE)
WAVE, BECKON, CHOP, PUSH_OUT = (SINGLE[number].swings for number in (0, 1, 3, 4))
BOW, SQUAT, MARCH = (SINGLE[number].swings for number in (10, 11, 13))
SIDE_RAISE = _arms(Swing(R_SHOULDER, Z, -0.1, -1.3, 0, "lift"))
LUNGE = (Swing(R_HIP, X, 0, -1.1, 0, "lift"), Swing(R_KNEE, X, 0, 1.2, 0, "lift"), Swing(L_HIP, X, 0, 0.5, 0, "lift"))
HIGH = SINGLE[0].swings[:2]
FIVE = TOGETHER[4].swings
FIVE_LEFT = tuple(replace(one, joint={R_SHOULDER: L_SHOULDER, R_ELBOW: L_ELBOW}[one.joint]) for one in FIVE)

MORE = (
    Action(
        "circle arm backwards",
        0.7,
        (Swing(R_SHOULDER, X, -1.2, 0.8), Swing(R_SHOULDER, Z, -0.8, 0.8, -0.25), Swing(R_ELBOW, X, -0.2)),
    ),
    Action("pump hands", 1.2, (*HANDS_IN_FRONT, Swing(R_SHOULDER, X, 0, 0.3), Swing(L_SHOULDER, X, 0, 0.3))),
    Action("chop in turn", 0.8, _later(CHOP, 0.5, LEFT)),
    Action("pull", 0.7, _later(PUSH_OUT, 0.5, (R_ELBOW,))),
    Action("shake head", 0.9, (Swing(NECK, Y, 0, 0.55), Swing(CHEST, Y, 0.05, 0.1))),
    Action("bend to the side", 0.4, (Swing(PELVIS, Z, 0, 0.2, 0, "lift"), Swing(SPINE, Z, 0, 0.6, 0, "lift"))),
    Action(
        "twist against the hips",
        0.6,
        (Swing(PELVIS, Y, 0, 0.35), Swing(SPINE, Y, 0, -0.6), Swing(R_ELBOW, X, -0.8), Swing(L_ELBOW, X, -0.8)),
    ),
    Action(
        "kick backwards",
        0.6,
        (
            Swing(R_HIP, X, -0.1, 1.0, 0, "strike"),
            Swing(R_KNEE, X, 0.1, 0.8, 0, "strike"),
            Swing(PELVIS, X, 0, 0.15, 0, "strike"),
        ),
    ),
    Action("hop", 0.7, _later(MARCH, 0.5, (L_HIP, L_KNEE))),
    Action("squat and reach", 0.45, (*SQUAT, *_arms(Swing(R_SHOULDER, X, 0, -1.4, 0, "lift")))),
    Action("eat", 0.4, (*SINGLE[7].swings[:2], Swing(NECK, X, 0, 0.3, 0, "lift"))),
    Action("throw backwards", 0.5, (Swing(R_SHOULDER, X, -2.2, 2.6, 0, "strike"), *SINGLE[8].swings[1:])),
    Action("beckon with both hands", 1.0, _arms(*BECKON)),
    Action("beckon in turn", 1.0, _later(_arms(*BECKON), 0.5, LEFT)),
    Action("raise arms", 0.5, SIDE_RAISE),
    Action("raise arms forward", 0.5, _arms(Swing(R_SHOULDER, X, -0.1, -1.3, 0, "lift"))),
    Action("raise arms in turn", 0.5, _later(SIDE_RAISE, 0.5, LEFT)),
    Action("lunge", 0.45, LUNGE),
    Action("lunge and twist", 0.45, (*LUNGE, Swing(SPINE, Y, 0, 0.6, 0, "lift"))),
    Action("step aside", 0.5, (Swing(PLACE, X, 0, 0.35), Swing(R_HIP, Z, 0, -0.25), Swing(L_HIP, Z, 0, -0.25, 0.5))),
)
MORE_TOGETHER = (
    Action("push each other", 0.5, PUSH, PUSH, 0.95),
    Action("bow to each other", 0.4, BOW, BOW, 1.3),
    Action("bow in turn", 0.4, BOW, _later(BOW, 0.5), 1.3),
    Action(
        "follow",
        0.7,
        (*_gait(0.5), Swing(PLACE, Z, 0, 0.7, 0, "steady")),
        (*_gait(0.5), Swing(PLACE, Z, 0, -0.7, 0, "steady")),
        1.4,
    ),
    Action("high five crosswise", 0.5, FIVE, FIVE_LEFT, 0.95),
    Action("wave to each other", 1.1, WAVE, WAVE, 1.4),
    Action("wave in answer", 1.1, WAVE, (*HIGH, Swing(R_ELBOW, X, -1.3)), 1.4),
    Action("march in step", 0.7, MARCH, MARCH, 1.3),
    Action("march out of step", 0.7, MARCH, _later(MARCH, 0.5), 1.3),
    Action(
        "throw to the other",
        0.5,
        SINGLE[8].swings,
        _arms(Swing(R_SHOULDER, X, -0.2, -0.9, -0.25, "lift"), Swing(R_ELBOW, X, -0.9)),
        2.3,
    ),
)
ACTIONS: dict[int, Action] = dict(enumerate((*SINGLE, *TOGETHER, *MORE, *MORE_TOGETHER), start=1))
PAIRS = (
    *(
        (3, 21),
        (7, 22),
        (4, 23),
        (5, 24),
        (10, 25),
        (11, 26),
        (15, 27),
        (13, 28),
        (14, 29),
        (12, 30),
        (8, 31),
        (9, 32),
        (33, 34),
        (35, 36),
        (35, 37),
    ),
    *((38, 39), (17, 41), (42, 43), (18, 44), (20, 45), (46, 47), (48, 49)),
)  # numbers of motions that differ only in phase, direction or limb


def chosen(count: int, described: Collection[int] = ACTIONS, bodies: int = 2) -> tuple[int, ...]:
    """Numbers of the motions for a data set with up to `count` classes: three quarters by one person, one quarter by
    two, if available.

    Motion n represents action n of the description, so only the numbers in `described` are used; with one body per
    clip, no two-person motions.
    """
    known = [number for number in ACTIONS if number in described]
    together = [number for number in known if ACTIONS[number].people == 2 <= bodies]
    alone = [number for number in known if ACTIONS[number].people == 1]
    pairs = min(max(count // 4, count - len(alone)), len(together))
    return (*alone[: count - pairs], *together[:pairs])
