"""Names of tensors in checkpoints of the ST-GCN family (CrosSCLR, AimCLR, HiCLR, ActCLR, SkeAttnCLR), and ours."""

from __future__ import annotations

import re
from collections.abc import Mapping

from stars.released.prefix import Value, after

PARTS = {
    "gcn.conv": "spatial",
    "tcn.0": "spatial_norm",
    "tcn.2": "temporal",
    "tcn.3": "temporal_norm",
    "residual.0": "past.0",
    "residual.1": "past.1",
}
GRAPH = "A"  # made of the skeleton, not stored


def to_ours(state: Mapping[str, Value], prefix: str) -> tuple[dict[str, Value], dict[str, Value]]:
    """Of the tensors after `prefix`, e.g. "encoder_q.": those of the network and those of the projector, under our
    names.

    Raises KeyError for a name that is not the family's.
    """
    network, projector = after(state, prefix)
    return {_ours(name): value for name, value in network.items() if name != GRAPH}, projector


def _ours(name: str) -> str:
    if name.startswith("data_bn."):
        return name.replace("data_bn", "norm")
    if found := re.fullmatch(r"edge_importance\.?(\d+)", name):
        number = int(found[1]) - (0 if "." in name else 1)  # HiCLR counts from 1
        return f"blocks.{number}.edges"
    if found := re.fullmatch(r"st_gcn_networks\.(\d+)\.((?:gcn|tcn|residual)\.\w+)\.(\w+)", name):
        return f"blocks.{found[1]}.{PARTS[found[2]]}.{found[3]}"
    raise KeyError(name)
