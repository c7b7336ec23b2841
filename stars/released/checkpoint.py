"""Reads released checkpoints without executing their content."""

from __future__ import annotations

import argparse
import pickle
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor, nn

from stars.backbones.base import Backbone
from stars.backbones.transformer import Network
from stars.config import Model
from stars.errors import InputError
from stars.objectives.heads import Predictor, Projector
from stars.released import mamp, methods, stage2
from stars.released.wrapped import unwrapped
from stars.training.weights import compare

MAMP_HEADS = 8  # attention heads of the released MAMP
DIMENSIONS = {
    mamp.FIRST: 4,
    "temp_embed": 4,
    "pos_embed": 4,
    "blocks.0.mlp.fc1.weight": 2,
}  # number of dimensions of tensors whose sizes are read
EXPORTED = "stars_model"  # model settings of an exported encoder, beside its `model` dict; MAMP's files have none


def import_any(
    path: Path | str, heads: int | None = None, network: str | None = None, frames: int | None = None
) -> tuple[Backbone, nn.ModuleDict]:
    """`import_released`, or the encoder (without heads) of another method's released checkpoint.

    Args:
        network, frames: for another method's, as in `stars.released.methods.import_encoder`.
    """
    state, described, others = _read_released(path)
    if found := methods.family(state):
        if heads is not None:
            raise InputError(f"{path} is a checkpoint of {found.title}: --heads is only for MAMP and STARS: remove it")
        encoder, left = methods.import_encoder(found, state, Path(path), network, frames)
        left += len(others)
        _say(path, f"a checkpoint of {found.title}; omitted {left} tensors of heads, key networks and queues")
        return encoder, nn.ModuleDict()
    if network is not None or frames is not None:
        raise InputError(
            f"{path}: --network and --frames are for checkpoints of other methods than MAMP and STARS: remove them"
        )
    return _imported(state, described, others, path, heads)


def import_released(path: Path | str, heads: int | None = None) -> tuple[Network, nn.ModuleDict]:
    """Encoder and heads (only STARS's) of a released MAMP or STARS checkpoint, or of a file of `stars export --format
    torch`.

    Args:
        path: torch file with a dict of tensors, directly or under `model` or `state_dict`, with optional prefixes of
            `wrapped.WRAPPERS`: MAMP's, with or without decoder or classifier, or a released stage 2's. Omitted parts
            (decoder, classifier, queue, teacher) are listed on stderr.
        heads: number of attention heads, which no tensor's shape shows; None: the file's, or the released MAMP's, with
            a message on stderr.

    InputError naming the tensor if one is missing, has another shape, or belongs to neither. Both modules are in
    evaluation mode.
    """
    return _imported(*_read_released(path), path, heads)


def _imported(
    state: dict[str, Tensor], described: Any, others: list[str], path: Path | str, heads: int | None
) -> tuple[Network, nn.ModuleDict]:
    prefix = stage2.student(state)
    own = {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
    encoder = _encoder_like(own, heads, described, path, prefix)
    tuned, modules = _heads_like(own, encoder.shape.width) if prefix else (nn.ModuleDict(), {})
    released = {stage2.released(name, modules): name for name in tuned.state_dict()}
    expected = mamp.to_released({f"encoder.{name}": tensor for name, tensor in encoder.state_dict().items()})
    expected |= {name: tuned.state_dict()[ours] for name, ours in released.items()}
    kinds = {name: stage2.for_training(name) if prefix else mamp.left_out(name) for name in state}
    left = {name for name, kind in kinds.items() if kind}
    compare(
        {prefix + name: tensor for name, tensor in expected.items()},
        {name: state[name] for name in state.keys() - left},
        path,
    )
    converted = mamp.to_ours({name: own[name] for name in expected.keys() - released.keys()})
    encoder.load_state_dict({name.removeprefix("encoder."): tensor for name, tensor in converted.items()})
    tuned.load_state_dict({ours: own[name] for name, ours in released.items()})
    if left or others:
        named = [*sorted({kinds[name] for name in left}), *(["tensors outside the encoder"] if others else [])]
        _say(path, f"omitted: {', '.join(named)} ({len(left) + len(others)} tensors)")
    if described is None and heads is None:
        assumed = f"{MAMP_HEADS} are assumed, as in the released MAMP"
        print(f"stars: {path} does not state its number of heads: {assumed}; otherwise set --heads N", file=sys.stderr)
    return encoder.eval(), tuned.eval()


def _say(path: Path | str, what: str) -> None:
    print(f"stars: {path}: {what}", file=sys.stderr)


def _encoder_like(
    own: Mapping[str, Tensor], heads: int | None, described: Any, path: Path | str, prefix: str
) -> Network:
    """An encoder with the sizes of tensors in MAMP's names, which have a `prefix` in the file."""
    sizes = {name: tuple(tensor.shape) for name, tensor in own.items()}
    for name, dimensions in DIMENSIONS.items():
        if name not in sizes:
            raise InputError(
                f"{path}: tensor {prefix}{name} is missing: is this a released checkpoint of MAMP or STARS?"
            )
        if len(sizes[name]) != dimensions:
            raise InputError(
                f"{path}: tensor {prefix}{name} is {sizes[name]}, not of {dimensions} dimensions: is this a released"
                " checkpoint of MAMP or STARS?"
            )
    try:
        shape, joints = _mamp_shape(sizes, MAMP_HEADS if heads is None else heads, described)
    except ValidationError as error:
        advice = (
            "name the number of heads it was trained with"
            if described is None
            else "its model settings are invalid: export it again"
        )
        raise InputError(f"{path}: {error.errors()[0]['msg'].removeprefix('Value error, ')}: {advice}") from None
    except IndexError:
        raise InputError(
            f"{path}: its decoder does not have MAMP's dimensions: is this a checkpoint of MAMP's pre-training?"
        ) from None
    if heads not in (None, shape.heads):
        raise InputError(f"{path} has {shape.heads} heads, not {heads}: remove --heads")
    return Network(shape, joints)


def _heads_like(own: Mapping[str, Tensor], width: int) -> tuple[nn.ModuleDict, dict[str, str]]:
    """Heads with the sizes of a released stage 2's, and the released names of their modules."""
    if own.keys() & {"head.weight", "head.bias"}:
        return nn.ModuleDict({"projector": nn.Linear(width, _rows(own, "head.weight"))}), stage2.LINEAR
    hidden = _rows(own, "head.predictor.0.weight")
    return (
        nn.ModuleDict({"projector": Projector(width), "predictor": Predictor(width, hidden, bias=False)}),
        stage2.PAIR,
    )


def _rows(tensors: Mapping[str, Tensor], name: str) -> int:
    """Number of rows of a matrix; 1 if it is missing or has none, which the later comparison reports."""
    return max(1, tensors[name].shape[:1].numel()) if name in tensors else 1


def _mamp_shape(shapes: Mapping[str, tuple[int, ...]], heads: int, described: Any) -> tuple[Model, int]:
    """Sizes of a released model, or those in its `described` settings; without decoder tensors, the decoder's are
    the encoder's.
    """
    if described is not None:
        return Model.model_validate(described), shapes["pos_embed"][2]
    width, _, segment, _ = shapes["joints_embed.proj.weight"]
    hidden = shapes["blocks.0.mlp.fc1.weight"][0]
    shape = Model(
        frames=shapes["temp_embed"][1] * segment,
        segment=segment,
        width=width,
        depth=_depth(shapes, "blocks"),
        heads=heads,
        hidden=hidden,
        decoder_width=shapes.get("decoder_embed.weight", (width,))[0],
        decoder_depth=_depth(shapes, "decoder_blocks") or _depth(shapes, "blocks"),
        decoder_hidden=shapes.get("decoder_blocks.0.mlp.fc1.weight", (hidden,))[0],
    )
    return shape, shapes["pos_embed"][2]


def _depth(shapes: Mapping[str, Any], stack: str) -> int:
    return sum(name.startswith(f"{stack}.") and name.endswith(".norm1.weight") for name in shapes)


def _read_released(path: Path | str) -> tuple[dict[str, Tensor], Any, list[str]]:
    """The state dict of a torch file without prefixes, the model settings written by `stars export` or None, and the
    names of tensors outside the network.

    Allows argparse.Namespace, a class without code, since checkpoints may contain their options.
    """
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):
            found = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file: name a released checkpoint of MAMP or STARS") from None
    except (
        pickle.UnpicklingError,
        RuntimeError,
        EOFError,
        ValueError,
        OSError,
        KeyError,
        AttributeError,
        TypeError,
        IndexError,
    ):
        raise InputError(
            f"{path} is not a torch file of only tensors and plain values, and was not executed: name another file"
        ) from None
    state = found.get("model", found.get("state_dict", found)) if isinstance(found, dict) else None
    if (
        not isinstance(state, dict)
        or not state
        or not all(isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in state.items())
    ):
        raise InputError(
            f"{path} contains no dict of tensors, directly or under `model` or `state_dict`: name a released checkpoint"
            " of MAMP or STARS"
        )
    own, _, others = unwrapped(state, _known)
    return own, found.get(EXPORTED), others


def _known(state: Mapping[str, Tensor]) -> bool:
    """Whether these are a network's tensors without prefixes."""
    return mamp.FIRST in state or bool(stage2.student(state)) or methods.family(state) is not None
