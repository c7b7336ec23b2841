"""A released checkpoint read without executing what is in it."""

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
DIMENSIONS = {mamp.FIRST: 4, "temp_embed": 4, "pos_embed": 4, "blocks.0.mlp.fc1.weight": 2}  # whose sizes are looked at
EXPORTED = "stars_model"  # model block of an exported encoder, beside its `model` dict: MAMP's own file has none


def import_any(
    path: Path | str, heads: int | None = None, network: str | None = None, frames: int | None = None
) -> tuple[Backbone, nn.ModuleDict]:
    """`import_released`; or the encoder, without heads, of a released checkpoint of another method.

    Args:
        network, frames: for another method's, as in `stars.released.methods.import_encoder`.
    """
    state, told, others = _read_released(path)
    if found := methods.family(state):
        if heads is not None:
            raise InputError(f"{path} is a checkpoint of {found.title}: --heads is for MAMP and STARS, leave it out")
        encoder, left = methods.import_encoder(found, state, Path(path), network, frames)
        left += len(others)
        _say(path, f"a checkpoint of {found.title}; left out {left} tensors of heads, key networks and queues")
        return encoder, nn.ModuleDict()
    if network is not None or frames is not None:
        raise InputError(f"{path}: --network and --frames are for checkpoints of other methods than MAMP and STARS: leave them out")
    return _imported(state, told, others, path, heads)


def import_released(path: Path | str, heads: int | None = None) -> tuple[Network, nn.ModuleDict]:
    """The encoder of a released MAMP or STARS checkpoint, or of a file of `stars export --format torch`; STARS's heads, none of the others.

    Args:
        path: torch file with a dict of tensors, by itself or as `model` or `state_dict`, whatever of `wrapped.WRAPPERS` stands before their
            names: MAMP's, its decoder or a classifier there or not, or a released stage 2's. What is left out stderr is told: decoder,
            classifier, queue, teacher.
        heads: attention heads, which no tensor's shape tells; None: as the file says, else the released MAMP's, which stderr is told.

    InputError naming the tensor if one is missing, has another shape, or belongs to neither. Both are in evaluation mode.
    """
    return _imported(*_read_released(path), path, heads)


def _imported(state: dict[str, Tensor], told: Any, others: list[str], path: Path | str, heads: int | None) -> tuple[Network, nn.ModuleDict]:
    prefix = stage2.student(state)
    own = {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
    encoder = _encoder_like(own, heads, told, path, prefix)
    tuned, modules = _heads_like(own, encoder.shape.width) if prefix else (nn.ModuleDict(), {})
    released = {stage2.released(name, modules): name for name in tuned.state_dict()}
    expected = mamp.to_released({f"encoder.{name}": tensor for name, tensor in encoder.state_dict().items()})
    expected |= {name: tuned.state_dict()[ours] for name, ours in released.items()}
    kinds = {name: stage2.for_training(name) if prefix else mamp.left_out(name) for name in state}
    left = {name for name, kind in kinds.items() if kind}
    compare({prefix + name: tensor for name, tensor in expected.items()}, {name: state[name] for name in state.keys() - left}, path)
    converted = mamp.to_ours({name: own[name] for name in expected.keys() - released.keys()})
    encoder.load_state_dict({name.removeprefix("encoder."): tensor for name, tensor in converted.items()})
    tuned.load_state_dict({ours: own[name] for name, ours in released.items()})
    if left or others:
        named = [*sorted({kinds[name] for name in left}), *(["what is no part of the encoder"] if others else [])]
        _say(path, f"left out: {', '.join(named)} ({len(left) + len(others)} tensors)")
    if told is None and heads is None:
        assumed = f"{MAMP_HEADS} are assumed, as in the released MAMP"
        print(f"stars: {path} does not say how many heads it has: {assumed}; if not, give --heads N", file=sys.stderr)
    return encoder.eval(), tuned.eval()


def _say(path: Path | str, what: str) -> None:
    print(f"stars: {path}: {what}", file=sys.stderr)


def _encoder_like(own: Mapping[str, Tensor], heads: int | None, told: Any, path: Path | str, prefix: str) -> Network:
    """An encoder of the sizes of tensors in MAMP's names; in the file a `prefix` stands before these."""
    sizes = {name: tuple(tensor.shape) for name, tensor in own.items()}
    for name, dimensions in DIMENSIONS.items():
        if name not in sizes:
            raise InputError(f"{path}: tensor {prefix}{name} is missing: is this a released checkpoint of MAMP or STARS?")
        if len(sizes[name]) != dimensions:
            raise InputError(
                f"{path}: tensor {prefix}{name} is {sizes[name]}, not of {dimensions} dimensions: is this a released checkpoint of MAMP or STARS?"
            )
    try:
        shape, joints = _mamp_shape(sizes, MAMP_HEADS if heads is None else heads, told)
    except ValidationError as error:
        advice = "name the number of heads it was trained with" if told is None else "that is in what it says of its model: export it again"
        raise InputError(f"{path}: {error.errors()[0]['msg'].removeprefix('Value error, ')}: {advice}") from None
    except IndexError:
        raise InputError(f"{path}: its decoder does not have MAMP's dimensions: is this a checkpoint of MAMP's pre-training?") from None
    if heads not in (None, shape.heads):
        raise InputError(f"{path} says that it has {shape.heads} heads, not {heads}: leave out --heads")
    return Network(shape, joints)


def _heads_like(own: Mapping[str, Tensor], width: int) -> tuple[nn.ModuleDict, dict[str, str]]:
    """Heads as large as a released stage 2's, and the released names of their modules."""
    if own.keys() & {"head.weight", "head.bias"}:
        return nn.ModuleDict({"projector": nn.Linear(width, _rows(own, "head.weight"))}), stage2.LINEAR
    hidden = _rows(own, "head.predictor.0.weight")
    return nn.ModuleDict({"projector": Projector(width), "predictor": Predictor(width, hidden, bias=False)}), stage2.PAIR


def _rows(tensors: Mapping[str, Tensor], name: str) -> int:
    """Rows of a matrix; of one that is missing or has none, 1: comparing names it."""
    return max(1, tensors[name].shape[:1].numel()) if name in tensors else 1


def _mamp_shape(shapes: Mapping[str, tuple[int, ...]], heads: int, told: Any) -> tuple[Model, int]:
    """Sizes of a released model, or those it was `told` of; without decoder tensors its decoder is described as being like the encoder."""
    if told is not None:
        return Model.model_validate(told), shapes["pos_embed"][2]
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
    """The state dict of a torch file without what stands before the network's names, the model block that `stars export` left beside it,
    or None, and the names of tensors that are not the network's.

    A checkpoint may hold its argparse options, a class without code of its own, hence allowed.
    """
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):
            found = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file: name a released checkpoint of MAMP or STARS") from None
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, OSError, KeyError, AttributeError, TypeError, IndexError):
        raise InputError(f"{path} is not a torch file that holds only tensors and plain values: nothing of it was executed") from None
    state = found.get("model", found.get("state_dict", found)) if isinstance(found, dict) else None
    if (
        not isinstance(state, dict)
        or not state
        or not all(isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in state.items())
    ):
        raise InputError(
            f"{path} holds no dict of tensors, nor one as `model` or `state_dict`: name a released checkpoint of MAMP or STARS"
        )
    own, _, others = unwrapped(state, _known)
    return own, found.get(EXPORTED), others


def _known(state: Mapping[str, Tensor]) -> bool:
    """Whether these are the tensors of a network under its own names."""
    return mamp.FIRST in state or bool(stage2.student(state)) or methods.family(state) is not None
