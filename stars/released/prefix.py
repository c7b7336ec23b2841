"""The tensors of one network in a checkpoint that holds several."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

Value = TypeVar("Value")
HEAD = "fc."  # what follows a network in MoCo's code and whatever grew from it: its projector


def after(state: Mapping[str, Value], prefix: str) -> tuple[dict[str, Value], dict[str, Value]]:
    """Of the tensors after `prefix`, e.g. "encoder_q.": those of the network and those of its head, without prefix
    and `HEAD`.
    """
    own = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
    head = {name.removeprefix(HEAD): value for name, value in own.items() if name.startswith(HEAD)}
    return {name: value for name, value in own.items() if not name.startswith(HEAD)}, head
