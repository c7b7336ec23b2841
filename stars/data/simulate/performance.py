"""One performance: samples a subject's body, posture, and movements besides the action."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from stars.config import Simulate
from stars.data.simulate import kinematics as k
from stars.data.simulate.actions import ACTIONS, PLACE, Swing, wave
from stars.data.simulate.kinematics import X, Y, Z

FPS = 30.0
LEVERS, RECOIL = (k.L_SHOULDER, k.R_SHOULDER, k.L_ELBOW, k.R_ELBOW, k.L_HIP, k.R_HIP), 0.15
# joints and axes of posture that vary between people and performances, with standard deviations in radians
POSTURE = (
    (k.SPINE, X, 0.05), (k.SPINE, Z, 0.04), (k.NECK, X, 0.1), (k.NECK, Y, 0.2),
    (k.L_SHOULDER, X, 0.18), (k.R_SHOULDER, X, 0.18), (k.L_HIP, X, 0.05), (k.R_HIP, X, 0.05),
)  # fmt: skip
ONE_SIDED = (
    (k.L_SHOULDER, Z, 0.2), (k.R_SHOULDER, Z, -0.2), (k.L_ELBOW, X, -0.5),
    (k.R_ELBOW, X, -0.5), (k.L_HIP, Z, 0.08), (k.R_HIP, Z, -0.08),
)  # fmt: skip
DISTRACTIONS = (
    (k.NECK, Y),
    (k.NECK, X),
    (k.L_SHOULDER, X),
    (k.L_SHOULDER, Z),
    (k.L_ELBOW, X),
    (k.SPINE, Y),
    (k.SPINE, Z),
    (k.R_SHOULDER, Z),
)


class Performance(NamedTuple):
    """Identity of a performance, which all cameras film; numbers from 1."""

    setup: int
    subject: int
    replication: int
    action: int


@dataclass(frozen=True)
class Performer:
    """A subject's body and habits."""

    offsets: np.ndarray  # (25, 3) bones, metres
    posture: np.ndarray  # (26, 3) habitual angles
    tempo: float
    amplitude: float
    left_handed: bool
    sway: float


def performer(seed: int, subject: int, posture: float = 1.0) -> Performer:
    """The subject with this number, identical in all clips; `posture` scales the habitual angles."""
    rng = np.random.default_rng((seed, 0, subject))
    scale = rng.uniform(0.87, 1.12) * np.exp(rng.normal(0, 0.05, (k.JOINTS, 1)))
    for left, right in k.LEFT_RIGHT:
        scale[left] = scale[right]
    return Performer(
        offsets=k.rest_offsets() * scale,
        posture=_posture(rng, 0.6 * posture),
        tempo=float(np.exp(rng.normal(0, 0.12))),
        amplitude=float(np.exp(rng.normal(0, 0.15))),
        left_handed=bool(rng.random() < 0.1),
        sway=float(rng.uniform(0.5, 1.5)),
    )


def perform(seed: int, identity: Performance, settings: Simulate) -> np.ndarray:
    """(people, T, 25, 3) joints in metres on the stage: y up from the floor, z towards the wall behind the actors.

    Args:
        identity: together with the seed, determines all randomness.
    """
    _, subject, _, action = identity
    rng = np.random.default_rng((seed, 1, *identity))
    length = int(rng.integers(settings.frames[0], settings.frames[1] + 1))
    doing = ACTIONS[action]
    heading = np.pi + rng.normal(0, settings.heading)  # towards the middle camera
    place = np.array([rng.normal(0, 0.25), 0, rng.normal(0, 0.25)])
    who = performer(seed, subject, settings.posture)
    clock = _clock(rng, length, doing.tempo * who.tempo, settings.tempo)
    if doing.people == 1:
        return _stand(_body(rng, who, doing.swings, clock, settings), heading, place)[None]
    other = performer(
        seed, 1 + (subject + int(rng.integers(1, settings.subjects)) - 1) % settings.subjects, settings.posture
    )
    gap = np.array([np.sin(heading), 0, np.cos(heading)]) * doing.distance * rng.uniform(0.9, 1.1)
    first = _stand(_body(rng, who, doing.swings, clock, settings), heading, place - gap / 2)
    second = _stand(
        _body(rng, other, doing.partner, clock, settings), heading + np.pi + rng.normal(0, 0.1), place + gap / 2
    )
    return np.stack([first, second])


def _clock(rng: np.random.Generator, length: int, tempo: float, spread: float) -> tuple[np.ndarray, np.ndarray]:
    """Cycle number and progress through the action (0…1), both (T,)."""
    share = np.linspace(0, 1, length)
    onset, end = rng.uniform(0, 0.2), rng.uniform(0.8, 1)
    ramp = np.clip(np.minimum(share - onset, end - share) / 0.1, 0, 1)
    seconds = np.arange(length) / FPS - onset * length / FPS
    return seconds * tempo * np.exp(rng.normal(0, spread)), ramp * ramp * (3 - 2 * ramp)


def _body(
    rng: np.random.Generator,
    who: Performer,
    swings: tuple[Swing, ...],
    clock: tuple[np.ndarray, np.ndarray],
    settings: Simulate,
) -> np.ndarray:
    """(T, 25, 3) joints of one person in the body's frame, feet on the floor."""
    cycle, active = clock
    length = len(cycle)
    channels = np.zeros((length, PLACE + 1, 3))
    phase = rng.normal(0, 0.08)
    for swing in swings:
        size = who.amplitude * np.exp(rng.normal(0, 0.15)) * swing.swing
        curve = wave(swing.wave, cycle + swing.phase + phase)
        # steady displacements persist; all other motions end where they began
        share = 1.0 if swing.wave == "steady" else active
        hold = swing.hold + (rng.normal(0, 0.15) if swing.hold else 0)
        channels[:, swing.joint, swing.axis] += share * (hold + size * curve)
        if swing.joint in LEVERS:  # the trunk compensates a limb's motion
            channels[:, k.SPINE, swing.axis] -= RECOIL * active * size * curve
    channels += who.posture + _posture(rng, settings.posture) + _idle(rng, length, who.sway, settings.fidgets)
    if who.left_handed != (rng.random() < 0.05):
        channels = k.mirrored(channels, (1, -1, -1))
        channels[:, PLACE] *= -1  # displacements mirror with opposite signs
    joints = k.forward(channels[:, : k.JOINTS], who.offsets)
    joints[..., 1] -= joints[:, k.FEET, 1].min(1, keepdims=True)
    return joints + channels[:, PLACE, None]


def _posture(rng: np.random.Generator, size: float) -> np.ndarray:
    """(26, 3) constant angles of a posture."""
    angles = np.zeros((PLACE + 1, 3))
    for joint, axis, spread in POSTURE:
        angles[joint, axis] = rng.normal(0, spread * size)
    for joint, axis, most in ONE_SIDED:
        angles[joint, axis] = most * size * rng.random()
    return angles


def _idle(rng: np.random.Generator, length: int, sway: float, fidgets: int) -> np.ndarray:
    """(T, 26, 3) movements besides the action: sway, drift, a slow turn and fidgeting."""
    seconds = np.arange(length)[:, None] / FPS
    channels = np.zeros((length, PLACE + 1, 3))

    def drift(joint: int, axis: int, size: float, fastest: float) -> None:
        curve = np.sin(2 * np.pi * (rng.uniform(0.1, fastest, 2) * seconds + rng.random(2))) @ rng.normal(0, size, 2)
        channels[:, joint, axis] += curve

    for joint, axis, spread in POSTURE:
        drift(joint, axis, 0.01 * sway * spread, 0.3)
    for axis in (X, Z):
        drift(PLACE, axis, 0.001 * sway, 0.3)
    drift(k.PELVIS, Y, 0.002, 0.3)
    for choice in rng.permutation(len(DISTRACTIONS))[: rng.integers(0, fidgets + 1)]:
        drift(*DISTRACTIONS[choice], 0.15, 1.2)
    return channels


def _stand(joints: np.ndarray, heading: float, place: np.ndarray) -> np.ndarray:
    """Rotate a body by `heading` about the vertical and move it to `place`; 0 faces along the stage's z."""
    return joints @ k.rotations(np.array([0, heading, 0])).T + place
