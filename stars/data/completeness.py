"""Completeness of a data set: which recorded clips are missing, and why the count differs from the published one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from typing import Any

from stars.data.readers import Clip, Layout

SHOWN = 5  # names in a message; quality.json lists all
LISTED, NO_BODY = "in the list of missing skeletons", "no body in any frame"  # reasons that also apply to complete data


def absent(clips: Iterable[Clip], form: str) -> list[str]:
    """Sorted names of clips that were recorded but are missing here.

    Every subject of a setup performed all its actions, equally often, in front of all its cameras, so the clips found
    for a setup determine what each of its subjects must have.

    Args:
        form: format of a clip's name, `Layout.names`.
    """
    subjects, takes, names = defaultdict(set), defaultdict(set), set()
    for clip in clips:
        subjects[clip.setup].add(clip.subject)
        takes[clip.setup].add((clip.action, clip.replication, clip.camera))
        names.add(clip.name)
    recorded = (
        form.format(setup=setup, subject=subject, action=action, replication=replication, camera=camera)
        for setup in subjects
        for subject, (action, replication, camera) in product(subjects[setup], takes[setup])
    )
    return sorted(set(recorded) - names)


def completeness(
    kept: int, dropped: Sequence[Mapping[str, str]], missing: Sequence[str], layout: Layout, listed: int | None
) -> dict[str, Any] | None:
    """Compare the counts with the complete data set's and explain differences; None if the description gives no count.

    Args:
        kept: clips in the store; dropped: name and reason of the others; missing: names of `absent`; listed: names on
            the authors' list, None without one.
    """
    if layout.clips is None:
        return None
    return {
        "expected": layout.clips,
        "kept": kept,
        "absent": list(missing),
        "explanation": list(_explain(kept, dropped, missing, layout, listed)),
    }


def _explain(
    kept: int, dropped: Sequence[Mapping[str, str]], missing: Sequence[str], layout: Layout, listed: int | None
) -> Iterable[str]:
    if kept == layout.clips:
        return
    yield f"{kept} clips, where the complete data set has {layout.clips}"
    if missing:
        yield f"{len(missing)} are not among the raw files: {some(missing)}"
    if others := [entry["name"] for entry in dropped if entry["reason"] not in (LISTED, NO_BODY)]:
        yield f"{len(others)} files could not be used: {some(others)}"
    empty = [entry["name"] for entry in dropped if entry["reason"] == NO_BODY]
    if layout.listed and listed not in (None, layout.listed):
        yield (
            f"ingest.missing_list names {listed} samples, the authors' {layout.listed}: the list may belong to another"
            " data set"
        )
    if layout.listed and listed is None:
        yield (
            f"ingest.missing_list is not set: of the {layout.listed} samples that the authors leave out, those without"
            f" a body were found anyway ({len(empty)}: {some(empty)}); the others are incomplete, which only the"
            " authors' list shows, and are kept"
        )
    elif empty:
        yield f"{len(empty)} hold no body: {some(empty)}"


def some(names: Sequence[str]) -> str:
    """The first names and the number of the others."""
    return (", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")) or "none"
