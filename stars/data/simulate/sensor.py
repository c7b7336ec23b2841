"""A depth camera with body tracking: view, noise, and the tracker's typical errors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stars.config import Simulate
from stars.data.simulate import kinematics as k
from stars.data.simulate.performance import Performance

AZIMUTH = {1: 0.0, 2: -np.pi / 4, 3: np.pi / 4}  # NTU RGB+D's three cameras: middle, and 45° to either side
FIRST_ID = 72057594037900000  # ids have 17 digits, more than float64 can represent
TRACKED, INFERRED = 2, 1
TRUNK = 0.2  # metres; radius within which a trunk occludes what is behind it
DRIFT = 30  # frames over which a joint's error changes
# extremities are harder to track than the trunk
RELIABILITY = np.ones(k.JOINTS)
RELIABILITY[[7, 11, 15, 19, 21, 22, 23, 24]] = 1.6


@dataclass
class Track:
    """The tracker's output for one body: joints (T, 25, 3) in metres, states (T, 25), and visibility per frame (T,)."""

    joints: np.ndarray
    states: np.ndarray
    ids: np.ndarray  # (T,) int64
    seen: np.ndarray  # (T,) bool


def film(people: np.ndarray, seed: int, performance: Performance, camera: int, settings: Simulate) -> list[Track]:
    """Film the joints `people` (people, T, 25, 3) with one camera: tracks of the actors, then possibly a ghost's.

    Seed, performance and camera determine all randomness.
    """
    setup, subject, replication, action = performance
    rng = np.random.default_rng((seed, 2, setup, camera, subject, replication, action))
    views = _shadowed(_view(people, seed, setup, camera), settings.shadow)
    length = views.shape[1]
    tracks = [_track(rng, body, settings.noise) for body in views]
    defects = rng.random(4) < (settings.occlusion, settings.switches, settings.ghosts, settings.dropped)
    target = tracks[rng.integers(len(tracks))]
    if defects[0]:
        _occlude(rng, target)
    if defects[1]:
        target.ids[rng.integers(length // 3, 2 * length // 3) :] = _new_id(rng)
    if defects[2]:
        tracks.append(_ghost(rng, views[0], settings.noise))
    if defects[3]:
        _drop(rng, tracks)
    _tell_apart(tracks)
    return tracks


def _view(people: np.ndarray, seed: int, setup: int, camera: int) -> np.ndarray:
    """Stage to camera coordinates (x to the sensor's left, y up, z into the scene); height and distance depend on
    the setup.
    """
    rng = np.random.default_rng((seed, 3, setup))
    height, distance = rng.uniform(1.4, 2.4), rng.uniform(2.8, 4.2)
    turned = people @ k.rotations(np.array([0, AZIMUTH[camera], 0])).T + (0, -height, distance)
    # the camera points at the stage's centre, a metre above the floor
    tilt = np.arctan2(height - 1.0, distance)
    return turned @ k.rotations(np.array([-tilt, 0, 0])).T


def _shadowed(views: np.ndarray, share: float) -> np.ndarray:
    """Move joints (people, T, 25, 3) that the body's own trunk occludes `share` of the way towards it; camera
    coordinates.
    """
    if not share:
        return views
    low, high = views[..., k.PELVIS, None, :], views[..., k.CHEST, None, :]
    depth = views[..., 2].clip(0.1)
    # where the line of sight to each joint passes the trunk, a line from pelvis to shoulders
    height = (views[..., 1] / depth * low[..., 2] - low[..., 1]) / (high[..., 1] - low[..., 1]).clip(0.1)
    trunk = low + height.clip(0, 1)[..., None] * (high - low)
    aside = np.abs(views[..., 0] / depth * trunk[..., 2] - trunk[..., 0])
    hidden = (
        (1 - aside / TRUNK).clip(0, 1)
        * ((views[..., 2] - trunk[..., 2]) / TRUNK).clip(0, 1)
        * ((height > 0) & (height < 1))
    )
    return views + share * hidden[..., None] * (trunk - views)


def _new_id(rng: np.random.Generator) -> int:
    return FIRST_ID + int(rng.integers(100_000))


def _tell_apart(tracks: list[Track]) -> None:
    """Give bodies that drew the same id different ones, as a sensor does."""
    taken: set[int] = set()
    for track in tracks:
        while taken & set(track.ids.tolist()):
            track.ids += 1
        taken |= set(track.ids.tolist())


def _track(rng: np.random.Generator, joints: np.ndarray, noise: float) -> Track:
    """A body visible in every frame, with sensor noise on each joint: mostly slow drift, and a tenth of it jitter
    between frames.

    A tracker filters, so its errors are smooth; white noise of this size would mask every slow movement.
    """
    length = len(joints)
    knots = rng.normal(0, 1, (length // DRIFT + 2, *joints.shape[1:]))
    at = np.arange(length)[:, None, None] / DRIFT
    before = at.astype(int).ravel()
    drift = knots[before] * (1 - at % 1) + knots[before + 1] * (at % 1)
    noisy = joints + (drift + rng.normal(0, 0.1, joints.shape)) * (noise * RELIABILITY)[:, None]
    return Track(noisy, np.full((length, k.JOINTS), TRACKED), np.full(length, _new_id(rng)), np.ones(length, bool))


def _span(rng: np.random.Generator, length: int, shortest: int, longest: int) -> slice:
    """A random span of frames."""
    frames = min(length, int(rng.integers(shortest, longest + 1)))
    start = int(rng.integers(length - frames + 1))
    return slice(start, start + frames)


def _occlude(rng: np.random.Generator, track: Track) -> None:
    """Occlude a limb: the tracker keeps its last position, with jitter."""
    limb, span = list(k.LIMBS[rng.integers(len(k.LIMBS))]), _span(rng, len(track.seen), 6, 20)
    frozen = track.joints[span.start, limb]
    track.joints[span, limb] = frozen + rng.normal(0, 0.05, (span.stop - span.start, len(limb), 3))
    track.states[span, limb] = INFERRED


def _ghost(rng: np.random.Generator, body: np.ndarray, noise: float) -> Track:
    """A false detection: a short-lived double, or furniture that is far too wide for a person."""
    beside = np.array([rng.choice((-1, 1)) * rng.uniform(0.6, 1.2), 0, rng.uniform(0.2, 0.8)])
    shifted = body + beside
    if rng.random() < 0.5:
        span = _span(rng, len(body), 3, 11)
    else:
        span = _span(rng, len(body), 15, 40)
        middle = shifted.mean((0, 1))
        shifted = np.broadcast_to((shifted[0] - middle) * (3.5, 0.35, 1) + middle, body.shape)
    ghost = _track(rng, shifted, noise)
    ghost.states[:] = INFERRED
    ghost.seen[:] = False
    ghost.seen[span] = True
    return ghost


def _drop(rng: np.random.Generator, tracks: list[Track]) -> None:
    """Drop one or two spans of frames, in which the tracker detects nobody."""
    for _ in range(rng.integers(1, 3)):
        span = _span(rng, len(tracks[0].seen), 1, 4)
        for track in tracks:
            track.seen[span] = False
