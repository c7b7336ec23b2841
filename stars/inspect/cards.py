"""Pictures of the quality page: the described skeleton, and a card for each of the most suspicious clips."""

from __future__ import annotations

from typing import Any

import numpy as np
from markupsafe import Markup

from stars.config import Inspect
from stars.data.store import ClipStore
from stars.inspect import charts, svg
from stars.inspect.content import known_numbers
from stars.inspect.measures import Measures
from stars.inspect.skeleton import Skeleton, view
from stars.inspect.suspicious import FROZEN, JUMP, KINDS, LIMB, Fault

PICTURES = 6  # of a suspicious clip


def skeleton_picture(store: ClipStore, skeleton: Skeleton, found: list[list[Fault]]) -> Markup:
    """The first body of the first unsuspicious clip, with the names of its joints."""
    odd = {own[0].clip for own in found}
    x_tvc = np.asarray(store[next((clip for clip in range(len(store)) if clip not in odd), 0)][:, 0])
    pose = x_tvc[x_tvc.any(axis=(1, 2)).argmax()]
    return Markup(svg.labelled(pose, skeleton, view(pose[None, None], skeleton)))


def suspicious_section(
    store: ClipStore, skeleton: Skeleton, limits: Inspect, measures: Measures, found: list[list[Fault]]
) -> dict[str, Any]:
    """Number of suspicious clips and reasons, measures against their limits, and cards of the worst."""
    charted = [
        charts.against("Fastest joint of a body", measures.column("speed"), limits.speed, "m/s"),
        charts.against("Longest rest of a body", measures.column("still"), limits.frozen, "s"),
        charts.against("Longest bone of a body, over its median", measures.excess.max(axis=1), limits.limb, "m"),
    ]
    kinds = {kind: sum(any(fault.kind == kind for fault in own) for own in found) for kind in KINDS}
    summary = (
        f"{len(found):,} of {len(store):,} clips: a joint jumps in {kinds[JUMP]:,}, a body is frozen in"
        f" {kinds[FROZEN]:,}, a limb is huge in {kinds[LIMB]:,}."
    )
    if len(found) > limits.shown:
        summary += f" The {limits.shown} worst are shown."
    return {
        "suspicious": summary,
        "limits": charted,
        "cards": [_card(store, skeleton, own) for own in found[: limits.shown]],
    }


def _card(store: ClipStore, skeleton: Skeleton, faults: list[Fault]) -> dict[str, Any]:
    """A clip's faults, and pictures around the worst."""
    worst, row = faults[0], store.table.iloc[faults[0].clip]
    x_tmvc = np.array(store[worst.clip][:, : row["bodies"]])
    frames = around(worst.frames, len(x_tmvc))
    marked = [
        (place, worst.body, joint)
        for place, frame in enumerate(frames)
        if frame in worst.frames
        for joint in worst.joints
    ]
    pictures = svg.poses(x_tmvc[frames], skeleton, view(x_tmvc, skeleton), marked)
    return {
        "name": row["name"],
        "about": ", ".join([row["action_name"], *known_numbers(row), f"{row['frames']} frames", row["source"]]),
        "reasons": [f"{fault.kind}: {fault.why}" for fault in faults],
        "pictures": [(frame, Markup(picture)) for frame, picture in zip(frames, pictures, strict=True)],
    }


def around(frames: tuple[int, int], length: int) -> list[int]:
    """Up to PICTURES frames of a clip of `length`: spread over a long span, in and around a short one."""
    first, last = frames
    if last - first >= PICTURES:
        return [round(place) for place in np.linspace(first, last, PICTURES)]
    start = max(0, min((first + last + 1) // 2 - PICTURES // 2, length - PICTURES))
    return list(range(start, min(length, start + PICTURES)))
