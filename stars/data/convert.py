"""Converts one raw file's bytes to a clip of the store."""

from __future__ import annotations

import numpy as np

from stars.config import Ingest
from stars.data import common_joints
from stars.data.denoise import denoise
from stars.data.readers import Layout, Sightings, reader


def bodies_of(layout: Layout, keys: Ingest) -> int:
    """M, the number of bodies per clip in the store."""
    return keys.bodies or layout.bodies


def joints_of(layout: Layout, keys: Ingest) -> int:
    """V, the number of joints per body in the store."""
    return len(common_joints.JOINTS if keys.joints == "common" else layout.joints)


def acting(data: bytes, source: str, layout: Layout, keys: Ingest) -> np.ndarray:
    """The acting bodies of a raw file, (T, at most M, V, 3) float32 in metres, with the file's joints, in sensor
    coordinates; T may be 0.

    Raises:
        InputError: file, line, expected and found.
    """
    raw = reader(layout.reader).read(data, source, layout)
    x_tmvc = denoise(raw, keys.denoise) if isinstance(raw, Sightings) else raw
    return x_tmvc[:, : bodies_of(layout, keys)]


def actors(data: bytes, source: str, layout: Layout, keys: Ingest) -> np.ndarray:
    """As `acting`, on the joints that the store keeps. Denoising sees the file's joints."""
    x_tmvc = acting(data, source, layout, keys)
    return common_joints.to_common(x_tmvc, layout.joints) if keys.joints == "common" else x_tmvc


def stored(x_tmvc: np.ndarray, layout: Layout, keys: Ingest) -> np.ndarray:
    """Output of `actors` in stored form, (T, M, V, 3) float32: centred, at most `max_frames` frames, all M bodies
    filled.

    A body absent from a frame is zeros there. The origin is taken from the first frame in which body 1 is present.
    """
    x_tmvc = x_tmvc.copy()
    if (keys.centre or layout.centre) == "first_frame_root":
        present = np.asarray(x_tmvc.any(axis=(2, 3)))
        root = common_joints.ROOT if keys.joints == "common" else layout.root
        x_tmvc[present] -= x_tmvc[present[:, 0].argmax(), 0, root].copy()
    x_tmvc = x_tmvc[: keys.max_frames]
    filled = np.zeros((len(x_tmvc), bodies_of(layout, keys), joints_of(layout, keys), 3), np.float32)
    filled[:, : x_tmvc.shape[1]] = x_tmvc
    if (keys.single_body or layout.single_body) == "copy" and x_tmvc.shape[1] == 1:
        filled[:, 1:] = x_tmvc
    return filled
