"""Prefixes of tensor names from other code: DataParallel's `module.`, or a model's attribute for its encoder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import product

from torch import Tensor

WRAPPERS = ("module.", "model.", "encoder.", "backbone.")
DEPTH = 3  # prefixes per name


def unwrapped(
    state: Mapping[str, Tensor], known: Callable[[Mapping[str, Tensor]], bool]
) -> tuple[dict[str, Tensor], str, list[str]]:
    """Tensors that are `known` after removing up to `DEPTH` prefixes; all tensors if none are.

    Returns the tensors under shorter names, the removed prefix, and the names of tensors without it.
    """
    for depth in range(DEPTH + 1):
        for wrappers in product(WRAPPERS, repeat=depth):
            prefix = "".join(wrappers)
            own = {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
            if own and known(own):
                return own, prefix, [name for name in state if not name.startswith(prefix)]
    return dict(state), "", []
