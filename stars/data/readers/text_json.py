"""Parses JSON from untrusted bytes."""

from __future__ import annotations

import json
from typing import Any

from stars.data.readers import unreadable


def parsed(data: bytes, source: str, largest: int) -> Any:
    """Parse a file of at most `largest` bytes; InputError for invalid JSON or duplicate keys."""
    if len(data) > largest:
        unreadable(source, None, f"a file of at most {largest} bytes", f"{len(data)}")
    try:
        return json.loads(data.decode("utf-8"), parse_constant=_no_number, object_pairs_hook=_once)
    except json.JSONDecodeError as error:
        unreadable(source, error.lineno, "JSON", f"{error.msg} in column {error.colno}")
    except (ValueError, RecursionError) as error:
        unreadable(source, None, "JSON", str(error))


def shown(value: Any) -> str:
    """A short description of a value of any size."""
    if isinstance(value, list | dict):
        return f"{'a list' if isinstance(value, list) else 'an object'} of {len(value)}"
    return repr(value)


def _no_number(word: str) -> None:
    raise ValueError(f"{word}, which is not a JSON number")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key twice")
    return found
