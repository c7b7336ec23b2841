"""Writers of raw layouts, one module each, for the readers of the same names.

A layout module has
    SETUPS, CAMERAS: int                         largest numbers that its file names can distinguish
    files(recordings, settings) -> (name, bytes) every file of the raw data set, in the order written
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
    """One camera's recording of a performance; the first `people` tracks are the actors', another may be a ghost's."""

    performance: Performance
    camera: int
    tracks: list[Track]
    people: int

    def joints(self, settings: SimulateStage) -> np.ndarray:
        """The actors' joints (T, M, V, 3) in metres, in the description's order; zeros where a body is not visible."""
        actors = self.tracks[: min(self.people, settings.dataset.bodies)]
        x_tmvc = np.zeros((len(actors[0].seen), settings.dataset.bodies, len(settings.order), 3))
        for body, track in enumerate(actors):
            x_tmvc[track.seen, body] = track.joints[track.seen][:, settings.order]
        return x_tmvc

    def seen(self, settings: SimulateStage) -> np.ndarray:
        """The first actor's joints (T, V, 3), without the frames in which they are not visible."""
        return self.joints(settings)[self.tracks[0].seen, 0]


class Layout(Protocol):
    """Interface of a layout module."""

    SETUPS: int
    CAMERAS: int

    def files(self, recordings: Iterator[Recording], settings: SimulateStage, /) -> Iterator[tuple[str, bytes]]: ...
