"""Differences between two sets of settings or two states of the source, by key and in words."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

ABSENT = "nothing"
LONGEST = 60  # characters of a value shown in full
# Keys of tables and pages whose values are always long
LONG = {"departures": "its list of departures from the paper", "notes": "its notes", "runs": "its list of runs"}


def changes(before: Any, after: Any, key: str = "") -> Iterator[tuple[str, Any, Any]]:
    """(dotted key, value before, value after) for every difference between plain data; None for a missing key.

    Blocks are compared recursively, lists as a whole.
    """
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for name in dict.fromkeys((*before, *after)):
            yield from changes(before.get(name), after.get(name), f"{key}.{name}" if key else str(name))
    elif before != after:
        yield key, before, after


def in_words(before: Any, after: Any) -> list[str]:
    """Differences as "tune.optimiser.lr 0.001 → 0.002"; long values are not shown."""
    found = [(key, _text(old), _text(new)) for key, old, new in changes(before, after)]
    return [
        f"{LONG[key]} changed"
        if key in LONG
        else f"{key} {old} → {new}"
        if max(len(old), len(new)) <= LONGEST
        else f"{key} changed (too long to show)"
        for key, old, new in found
    ]


def _text(value: Any) -> str:
    return ABSENT if value is None else json.dumps(value, ensure_ascii=False)


def changed_source(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Difference between the `code` of two records, with the modules' names; empty if the digests are equal."""
    if before["digest"] == after["digest"]:
        return []
    old, new = (code.get("modules", {}) for code in (before, after))
    modules = sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))
    return [f"other source: {', '.join(modules) or 'modules not recorded'}"]
