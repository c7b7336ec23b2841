"""Maps tensor names of STTFormer's checkpoints to ours."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

PARTS = {
    "to_qkvs": "queries_keys",
    "out_nets": "mix",
    "ff_net": "feed_forward",
    "out_nett": "over_tuples",
    "ress": "past_attention",
    "rest": "past_tuples",
}
TABLES = {"alphas": "gain", "att0s": "always"}  # with a first dimension of 1
POSITIONS = "pes.pe"  # fixed, not stored by us
CLASSIFIER = "fc"


def to_ours(state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Tensors of the network and of the linear classifier under our names. KeyError for other names."""
    network, classifier = {}, {}
    for name, tensor in state.items():
        if name.endswith(f".{POSITIONS}"):
            continue
        if name.startswith(f"{CLASSIFIER}."):
            classifier[name.removeprefix(f"{CLASSIFIER}.")] = tensor
        else:
            network[ours(name)] = tensor.squeeze(0) if name.rpartition(".")[2] in TABLES else tensor
    return network, classifier


def ours(name: str) -> str:
    """blocks.0.ff_net.1.weight → blocks.0.feed_forward.1.weight. KeyError for a name that is not STTFormer's
    network's.
    """
    if found := re.fullmatch(r"input_map\.([01]\.\w+)", name):
        return f"stem.{found[1]}"
    if found := re.fullmatch(r"(blocks\.\d+)\.(\w+)", name):
        return f"{found[1]}.{TABLES[found[2]]}"
    if found := re.fullmatch(r"(blocks\.\d+)\.(\w+)\.([\w.]+)", name):
        return f"{found[1]}.{PARTS[found[2]]}.{found[3]}"
    raise KeyError(name)
