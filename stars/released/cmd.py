"""Names of tensors in checkpoints of CMD, and ours."""

from __future__ import annotations

from collections.abc import Mapping

from stars.released.prefix import Value, after

PARTS = {"encoder.gru.": "gru.", "input_norm.": "norm."}


def to_ours(state: Mapping[str, Value], prefix: str) -> tuple[dict[str, Value], dict[str, Value]]:
    """Of the tensors after `prefix`, e.g. "encoder_q.": those of the network and those of the projector, under our
    names.

    Raises KeyError for a name that is not CMD's.
    """
    network, projector = after(state, prefix)
    return {_ours(name): value for name, value in network.items()}, projector


def _ours(name: str) -> str:
    for theirs, own in PARTS.items():
        if name.startswith(theirs):
            return own + name.removeprefix(theirs)
    raise KeyError(name)
