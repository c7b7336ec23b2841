"""The settings that Tables 8 and 10 show: a method's, as resolved for its jobs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from stars.config import Config, Hyperparameters
from stars.paper.sources.common import Drawing
from stars.pipeline import configuration


def hyperparameters(config: Config, number: int) -> Drawing:
    """Every setting of a method's training by dotted key, or null if the method is not configured. Reads no file."""
    block: Hyperparameters = getattr(config, f"table{number}")
    data = block.data or next(iter(config.data))
    told = {
        "number": number,
        "method": block.method,
        "data_title": configuration.dataset(config, data).title,
        "settings": None,
    }
    if block.method not in config.methods:
        return Drawing(told, {})
    method = configuration.method(config, data, block.method)
    return Drawing(told | {"method": method.title, "settings": dict(flat(method.blocks))}, {})


def flat(block: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted key and value of every setting in nested blocks."""
    for name, value in block.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value
