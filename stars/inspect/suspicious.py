"""Finds suspicious clips: a joint that jumps, a body that freezes, a limb that is too long."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import pandas as pd

from stars.config import Inspect
from stars.inspect.measures import Measures
from stars.inspect.skeleton import Skeleton

JUMP, FROZEN, LIMB = KINDS = ("jump", "frozen", "huge limb")
COLUMNS = (
    "rank",
    "name",
    "source",
    "kind",
    "body",
    "joint",
    "first_frame",
    "last_frame",
    "value",
    "unit",
    "limit",
    "severity",
    "why",
)


@dataclass(frozen=True)
class Fault:
    """A reason why a clip is suspicious. Bodies, joints and frames count from 0.

    Attributes:
        joints: affected joints, both ends for a bone, empty for the whole body; frames: first and last; value, limit:
            both in `unit`.
    """

    clip: int
    kind: str
    body: int
    joints: tuple[int, ...]
    frames: tuple[int, int]
    value: float
    limit: float
    unit: str
    why: str

    @property
    def severity(self) -> float:
        """Ratio of value and limit."""
        return self.value / self.limit


def suspicious(measures: Measures, skeleton: Skeleton, limits: Inspect, fps: float) -> list[list[Fault]]:
    """The faults of each suspicious clip, sorted by severity; clips sorted by their worst fault, ties in the store's
    order.
    """
    jumps, frozen = _jumps(measures, skeleton, limits.speed, fps), _frozen(measures, limits.frozen, fps)
    faults = [*jumps, *frozen, *_limbs(measures, skeleton, limits.limb)]
    faults.sort(key=lambda fault: (fault.clip, -fault.severity))
    clips = [list(own) for _, own in groupby(faults, key=lambda fault: fault.clip)]
    return sorted(clips, key=lambda own: -own[0].severity)


def table(clips: list[list[Fault]], store: pd.DataFrame, skeleton: Skeleton) -> pd.DataFrame:
    """suspicious.csv: one row per fault, columns COLUMNS; ranks and bodies count from 1, frames from 0."""
    rows, names, sources = [], store["name"].tolist(), store["source"].tolist()
    for rank, own in enumerate(clips, 1):
        for fault in own:
            joint = skeleton.names[fault.joints[-1]] if fault.joints else ""
            place = (rank, names[fault.clip], sources[fault.clip], fault.kind, fault.body + 1, joint, *fault.frames)
            rows.append((*place, round(fault.value, 4), fault.unit, fault.limit, round(fault.severity, 3), fault.why))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _jumps(measures: Measures, skeleton: Skeleton, limit: float, fps: float) -> Iterator[Fault]:
    for it in measures.bodies:
        if it.speed > limit:
            step = f"moves {it.speed / fps:.2f} m from frame {it.jump} to {it.jump + 1}: {it.speed:.1f} m/s"
            why = f"{skeleton.names[it.joint]} of body {it.body + 1} {step}"
            yield Fault(it.clip, JUMP, it.body, (it.joint,), (it.jump, it.jump + 1), it.speed, limit, "m/s", why)


def _frozen(measures: Measures, limit: float, fps: float) -> Iterator[Fault]:
    for it in measures.bodies:
        if it.still >= limit:
            end = it.stop + round(it.still * fps)
            why = f"body {it.body + 1} does not move from frame {it.stop} to {end}: {it.still:.2f} s"
            yield Fault(it.clip, FROZEN, it.body, (), (it.stop, end), it.still, limit, "s", why)


def _limbs(measures: Measures, skeleton: Skeleton, limit: float) -> Iterator[Fault]:
    excess, typical = measures.excess, measures.typical
    for row in np.flatnonzero(excess.max(axis=1) > limit):
        it, joint = measures.bodies[row], int(excess[row].argmax())
        frame, length = int(measures.at[row, joint]), measures.longest[row, joint]
        bone = f"{skeleton.bone_name(joint)} of body {it.body + 1}"
        why = f"{bone} is {length:.2f} m long in frame {frame}; the median is {typical[joint]:.2f} m"
        yield Fault(
            it.clip, LIMB, it.body, skeleton.bone(joint), (frame, frame), float(excess[row, joint]), limit, "m", why
        )
