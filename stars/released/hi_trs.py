"""Names of tensors in checkpoints of Hi-TRS, and ours."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

LEVELS = {"s": "frame", "c": "clip", "v": "video"}
LAYERS = {
    "self_attn_norm": "attention_norm",
    "pff_norm": "forward_norm",
    "slf_attn.w_qs": "queries",
    "slf_attn.w_ks": "keys",
    "slf_attn.w_vs": "values",
    "slf_attn.fc": "out",
    "pos_ffn.w_1": "widen",
    "pos_ffn.w_2": "narrow",
}
HEADS = {
    "s_pose_reg": "pose",
    "c_motion_cls": "clip_order",
    "v_motion_cls": "video_order",
    "v_ft_reg": "future",
    "v_cls": "classifier",
}
FUSION = "_fuse_token"


def to_ours(state: Mapping[str, Tensor], prefix: str = "") -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Those of the network and those of heads, under our names and in our shapes. KeyError for a name that is not
    Hi-TRS's.
    """
    network, heads = {}, {}
    for name, tensor in state.items():
        own = ours(name.removeprefix(prefix))
        level, _, rest = own.partition(".")
        if level not in LEVELS.values():
            heads[own] = tensor
        elif rest == "tokens.positions":
            network[own] = tensor.flatten(0, -2)
        else:
            network[own] = tensor.flatten() if rest == "tokens.fusion" else tensor
    return network, heads


def ours(name: str) -> str:
    """c_enc.layer_stack.0.slf_attn.fc.weight → clip.blocks.0.out.weight. KeyError for a name that is not Hi-TRS's."""
    head, _, kind = name.rpartition(".")
    if head in HEADS:
        return f"{HEADS[head]}.{kind}"
    if name.endswith(FUSION):
        return f"{name.removesuffix(FUSION)}.tokens.fusion"
    letter, _, rest = name.partition("_")
    if rest == "pe.pe":
        return f"{LEVELS[letter]}.tokens.positions"
    if rest.startswith("input_map."):
        return f"{LEVELS[letter]}.tokens.embed.{rest.removeprefix('input_map.')}"
    if found := re.fullmatch(r"enc\.layer_stack\.(\d+)\.([\w.]+)\.(weight|bias)", rest):
        return f"{LEVELS[letter]}.blocks.{found[1]}.{LAYERS[found[2]]}.{found[3]}"
    raise KeyError(name)
