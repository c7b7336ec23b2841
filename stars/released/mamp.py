"""The released MAMP's names and layouts of tensors, and ours: both ways, for whole state dicts of stage 1 or its
encoder.

Two layouts differ. Tables lose their dimensions of one: (1, T/l, 1, C), (1, 1, V, C) and (1, 1, C) become (T/l, C), (V,
C) and (1, C). The patch convolution's weight (C, xyz, frame, 1) becomes a matrix (C, frame·xyz).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from stars.backbones.attention import COORDINATES

MODULES = {
    "joints_embed.proj": "encoder.embed",
    "norm": "encoder.norm",
    "decoder_embed": "decoder.embed",
    "decoder_norm": "decoder.norm",
    "decoder_pred": "decoder.predict",
}
TABLES = {
    "temp_embed": "encoder.positions.temporal",
    "pos_embed": "encoder.positions.spatial",
    "mask_token": "decoder.mask_token",
    "decoder_temp_embed": "decoder.positions.temporal",
    "decoder_pos_embed": "decoder.positions.spatial",
}
STACKS = {"blocks": "encoder.blocks", "decoder_blocks": "decoder.blocks"}
PARTS = {
    "norm1": "attention_norm",
    "attn.qkv": "attention.qkv",
    "attn.proj": "attention.out",
    "norm2": "forward_norm",
    "mlp.fc1": "feed_forward.widen",
    "mlp.fc2": "feed_forward.narrow",
}
PATCH = "encoder.embed.weight"
FIRST = "joints_embed.proj.weight"  # by which such a file is known
# Beginnings of names that are no encoder's: of pre-training's decoder, and of the classifier of a linear probe or of
# fine-tuning.
LEFT_OUT = {"decoder_": "decoder", "mask_token": "decoder", "head.": "classifier", "fc.": "classifier"}


def to_ours(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Released names and layouts → ours. KeyError for a name that is not MAMP's."""
    return {ours(name): _flat(ours(name), tensor) for name, tensor in state.items()}


def to_released(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our names and layouts → the released ones. KeyError for a name that is not one of ours."""
    return {released(name): _unflat(name, tensor) for name, tensor in state.items()}


def ours(name: str) -> str:
    """temp_embed → encoder.positions.temporal. KeyError for a name that is not MAMP's."""
    return _rename(name, TABLES, MODULES, STACKS, PARTS)


def released(name: str) -> str:
    """encoder.positions.temporal → temp_embed. KeyError for any other name."""
    return _rename(name, *(_inverse(names) for names in (TABLES, MODULES, STACKS, PARTS)))


def left_out(name: str) -> str:
    """What a tensor belongs to that is no part of the encoder; "" for the encoder's."""
    return next((part for start, part in LEFT_OUT.items() if name.startswith(start)), "")


def _rename(
    name: str, tables: dict[str, str], modules: dict[str, str], stacks: dict[str, str], parts: dict[str, str]
) -> str:
    if name in tables:
        return tables[name]
    owner, _, kind = name.rpartition(".")
    if kind not in ("weight", "bias"):
        raise KeyError(name)
    if owner in modules:
        return f"{modules[owner]}.{kind}"
    block = re.fullmatch(r"(.*blocks)\.(\d+)\.(.+)", owner)
    if block is None:
        raise KeyError(name)
    stack, number, part = block.groups()
    return f"{stacks[stack]}.{number}.{parts[part]}.{kind}"


def _inverse(names: dict[str, str]) -> dict[str, str]:
    return {value: key for key, value in names.items()}


def _flat(name: str, tensor: Tensor) -> Tensor:
    if name == PATCH:
        return tensor.squeeze(-1).transpose(1, 2).flatten(1)
    return tensor.flatten(0, -2) if name in TABLES.values() else tensor


def _unflat(name: str, tensor: Tensor) -> Tensor:
    if name == PATCH:
        return tensor.unflatten(1, (-1, COORDINATES)).transpose(1, 2).unsqueeze(-1)
    if name.endswith("temporal"):
        return tensor[None, :, None]
    if name.endswith("spatial"):
        return tensor[None, None]
    return tensor[None] if name in TABLES.values() else tensor
