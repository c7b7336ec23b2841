"""Raw layouts as the simulator writes them, one module each, for the readers of the same names.

A layout module has
    SETUPS, CAMERAS: int                         as many as its file names can tell apart
    files(recordings, told) -> (name, bytes)     every file of the raw data set, in the order written
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from stars.data.simulate.performance import Performance
from stars.data.simulate.sensor import Track
from stars.data.simulate.stage import SimulateStage

MANY = 1_000


@dataclass(frozen=True, eq=False)
class Recording:
    """What one camera saw of a performance; the first `people` tracks are the actors', one more may be a ghost's."""

    performance: Performance
    camera: int
    tracks: list[Track]
    people: int

    def joints(self, told: SimulateStage) -> np.ndarray:
        """(T, M, V, 3) the actors' joints in metres, those of the description in its order; zeros where a body is not seen."""
        actors = self.tracks[: min(self.people, told.dataset.bodies)]
        x_tmvc = np.zeros((len(actors[0].seen), told.dataset.bodies, len(told.order), 3))
        for body, track in enumerate(actors):
            x_tmvc[track.seen, body] = track.joints[track.seen][:, told.order]
        return x_tmvc

    def seen(self, told: SimulateStage) -> np.ndarray:
        """(T, V, 3) the same of the first actor, without the frames in which he is not seen."""
        return self.joints(told)[self.tracks[0].seen, 0]


class Layout(Protocol):
    """Shape of a layout module."""

    SETUPS: int
    CAMERAS: int

    def files(self, recordings: Iterator[Recording], told: SimulateStage, /) -> Iterator[tuple[str, bytes]]: ...
