"""Maps tensor names of ISC's checkpoints (graph and image encoders) to ours; its sequence encoder uses CMD's names."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from stars.released.prefix import after

LEARNED = "gcn1.PA"  # edges
AGCN = {"gcn1.bn": "spatial.norm", "gcn1.down": "spatial.past", "tcn1.conv": "temporal.0", "tcn1.bn": "temporal.1"}
AGCN |= {"residual.conv": "past.0", "residual.bn": "past.1"}
HCN = {"conv1.0": "0", "conv2": "2", "conv3.0": "4", "conv4.0": "6"}
STACKED = {"conv_a": "queries", "conv_b": "keys"}


def agcn_to_ours(state: Mapping[str, Tensor], prefix: str) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Of the tensors after `prefix`, e.g. "encoder_r.": those of the network and those of the projector, under our
    names.

    Three convolutions, one per subset, are one of ours: queries and keys concatenated, the others applied to
    concatenated inputs, biases added. Raises KeyError for a name that is not ISC's.
    """
    theirs, projector = after(state, prefix)
    network: dict[str, Tensor] = {}
    by_subset: dict[tuple[str, str, str], list[Tensor]] = {}
    for name, value in theirs.items():
        if name.startswith("data_bn."):
            network[name.replace("data_bn", "norm")] = value
            continue
        block, inner = _block(name)
        if found := re.fullmatch(r"gcn1\.(conv_[abd])\.(\d)\.(\w+)", inner):
            by_subset.setdefault((block, found[1], found[3]), []).append(value)
        elif inner == LEARNED:
            network[f"{block}.spatial.learned"] = value
        else:
            network[f"{block}.{_renamed(inner, AGCN)}"] = value
    for (block, convolution, kind), values in by_subset.items():
        if convolution in STACKED:
            network[f"{block}.spatial.{STACKED[convolution]}.{kind}"] = torch.cat(values)
        else:
            network[f"{block}.spatial.combine.{kind}"] = (
                torch.cat(values, 1) if kind == "weight" else torch.stack(values).sum(0)
            )
    return network, projector


def hcn_to_ours(state: Mapping[str, Tensor], prefix: str = "") -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The same for the image encoder."""
    theirs, projector = after(state, prefix)
    ours = {}
    for name, value in theirs.items():
        if found := re.fullmatch(r"conv([56])\.0\.(\w+)", name):
            ours[f"both.{4 * (int(found[1]) - 5)}.{found[2]}"] = value
        else:
            layer, marked, rest = re.fullmatch(r"(conv\d)(m?)(.*)", name).groups()  # type: ignore[union-attr]
            ours[f"{'motion' if marked else 'position'}.{_renamed(layer + rest, HCN)}"] = value
    return ours, projector


def _block(name: str) -> tuple[str, str]:
    found = re.fullmatch(r"l(\d+)\.(.+)", name)
    if not found:
        raise KeyError(name)
    return f"blocks.{int(found[1]) - 1}", found[2]


def _renamed(name: str, parts: Mapping[str, str]) -> str:
    for theirs, ours in parts.items():
        if name.startswith(theirs + "."):
            return ours + name.removeprefix(theirs)
    raise KeyError(name)
