"""Maps tensor names of HiCo's checkpoints to ours."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

DOMAINS = {"t": "time", "s": "space"}
PARTS = {
    "embedding.0": "embed.0",
    "embedding.1": "embed.1",
    "embedding.3": "embed.3",
    "downsample.conv.dw_conv": "coarser.along",
    "downsample.norm": "coarser.norm",
}
LAYERS = {
    "self_attn.in_proj_": "qkv.",
    "self_attn.out_proj.": "out.",
    "linear1.": "widen.",
    "linear2.": "narrow.",
    "norm1.": "attention_norm.",
    "norm2.": "forward_norm.",
}
PROJECTORS = {
    "clip_proj": "clip",
    "part_proj": "part",
    "td_proj": "temporal",
    "sd_proj": "spatial",
    "instance_proj": "instance",
}
QUEUES = {"c": "clip", "p": "part", "t": "temporal", "s": "spatial", "i": "instance"}


def to_ours(state: Mapping[str, Tensor], prefix: str) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Of the tensors after `prefix`, "encoder_q." or "encoder_k.": those of the network and those of the projectors,
    under our names.

    Raises KeyError for a name that is not HiCo's.
    """
    network, projectors = {}, {}
    for name, tensor in state.items():
        if not name.startswith(prefix):
            continue
        rest = name.removeprefix(prefix)
        if rest.startswith("hi_encoder."):
            network[_of_network(rest.removeprefix("hi_encoder."))] = tensor
        else:
            head, _, part = rest.partition(".")
            projectors[f"{PROJECTORS[head]}.{part}"] = tensor
    return network, projectors


def queues(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The queues' entries (Q, D) and, if present, pointers, under our names."""
    found = {}
    for letter, name in QUEUES.items():
        if f"{letter}_queue" in state:
            found[f"{name}.entries"] = state[f"{letter}_queue"].T
        if f"{letter}_queue_ptr" in state:
            found[f"{name}.pointer"] = state[f"{letter}_queue_ptr"].squeeze()
    return found


def _of_network(name: str) -> str:
    domain, _, rest = name.partition("_")
    if layer := re.fullmatch(r"encoder\.layers\.(\d+)\.(.+?[._])(weight|bias)", rest):
        return f"{DOMAINS[domain]}.blocks.{layer[1]}.{LAYERS[layer[2]]}{layer[3]}"
    part, _, kind = rest.rpartition(".")
    return f"{DOMAINS[domain]}.{PARTS[part]}.{kind}"
