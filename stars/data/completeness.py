"""Is a data set whole? Which clips its recording must have held, and, clip by clip, why a count differs from the published one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from typing import Any

from stars.data.readers import Clip, Layout

SHOWN = 5  # names in a message; all of them are in quality.json
LISTED, NO_BODY = "in the list of missing skeletons", "no body in any frame"  # reasons for which complete data drops files too


def absent(clips: Iterable[Clip], form: str) -> list[str]:
    """Names of the clips that were recorded beside these but are not among them, sorted.

    Every subject of a setup did all the setup's actions, as often as the others, before all its cameras; so whatever is seen of a
    setup says what there must be of each of its subjects.

    Args:
        form: how a name is made of a clip's numbers, `Layout.names`.
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
    """The counts beside those of the complete data set, and what explains a difference; None where the description gives no count.

    Args:
        kept: clips in the store; dropped: name and reason of the others; missing: names of `absent`; listed: names on the
            authors' list, None where none was given.
    """
    if layout.clips is None:
        return None
    return {
        "expected": layout.clips,
        "kept": kept,
        "absent": list(missing),
        "explanation": list(_explain(kept, dropped, missing, layout, listed)),
    }


def _explain(kept: int, dropped: Sequence[Mapping[str, str]], missing: Sequence[str], layout: Layout, listed: int | None) -> Iterable[str]:
    if kept == layout.clips:
        return
    yield f"{kept} clips, where the complete data set has {layout.clips}"
    if missing:
        yield f"{len(missing)} are not among the raw files: {some(missing)}"
    if others := [entry["name"] for entry in dropped if entry["reason"] not in (LISTED, NO_BODY)]:
        yield f"{len(others)} files could not be used: {some(others)}"
    empty = [entry["name"] for entry in dropped if entry["reason"] == NO_BODY]
    if layout.listed and listed not in (None, layout.listed):
        yield f"ingest.missing_list names {listed} samples, the authors' {layout.listed}: it may be another data set's"
    if layout.listed and listed is None:
        yield (
            f"ingest.missing_list is not set: of the {layout.listed} samples that the authors leave out, those without a body were found all the same"
            f" ({len(empty)}: {some(empty)}); the others are incomplete, which only the authors' list says, and stay in"
        )
    elif empty:
        yield f"{len(empty)} hold no body: {some(empty)}"


def some(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    return (", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")) or "none"
