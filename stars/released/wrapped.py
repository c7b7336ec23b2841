"""What other code puts before a network's names of tensors: DataParallel's `module.`, the attribute of a model that holds its encoder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import product

from torch import Tensor

WRAPPERS = ("module.", "model.", "encoder.", "backbone.")
DEPTH = 3  # of them before one name


def unwrapped(state: Mapping[str, Tensor], known: Callable[[Mapping[str, Tensor]], bool]) -> tuple[dict[str, Tensor], str, list[str]]:
    """Tensors that are `known` when up to `DEPTH` wrappers are taken from before their names; all tensors where none are.

    Returns the tensors under their shorter names, what was taken away, and the names of the tensors that did not begin with it.
    """
    for depth in range(DEPTH + 1):
        for wrappers in product(WRAPPERS, repeat=depth):
            prefix = "".join(wrappers)
            own = {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
            if own and known(own):
                return own, prefix, [name for name in state if not name.startswith(prefix)]
    return dict(state), "", []
