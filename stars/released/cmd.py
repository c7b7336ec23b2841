"""Names of tensors in checkpoints of CMD, and ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

Value = TypeVar("Value")
PARTS = {"encoder.gru.": "gru.", "input_norm.": "norm."}


def to_ours(state: Mapping[str, Value], prefix: str) -> tuple[dict[str, Value], dict[str, Value]]:
    """Of the tensors after `prefix`, e.g. "encoder_q.": those of the network and those of the projector, under our names.

    Raises KeyError for a name that is not CMD's.
    """
    network, projector = {}, {}
    for name, value in state.items():
        if not name.startswith(prefix):
            continue
        rest = name.removeprefix(prefix)
        if rest.startswith("fc."):
            projector[rest.removeprefix("fc.")] = value
        else:
            network[_ours(rest)] = value
    return network, projector


def _ours(name: str) -> str:
    for theirs, own in PARTS.items():
        if name.startswith(theirs):
            return own + name.removeprefix(theirs)
    raise KeyError(name)
