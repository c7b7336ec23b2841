"""Weights as files: safetensors, no pickles; a released checkpoint read without executing what is in it."""

from __future__ import annotations

import argparse
import json
import pickle
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from stars.config import Model
from stars.errors import InputError
from stars.model import mamp_names, stage2_names
from stars.model.encoder import Encoder
from stars.model.heads import Predictor, Projector
from stars.provenance.files import atomic, canonical

ENCODER, HEADS = "stars-encoder-1", "stars-heads-1"
MAMP_HEADS = 8  # attention heads of the released MAMP
DIMENSIONS = {"joints_embed.proj.weight": 4, "temp_embed": 4, "pos_embed": 4, "blocks.0.mlp.fc1.weight": 2}  # whose sizes are looked at
EXPORTED = "stars_model"  # model block of an exported encoder, beside its `model` dict: MAMP's own file has none


def save_encoder(path: Path | str, encoder: Encoder) -> None:
    """Write an encoder with its shape, and its joints' parents if it sees bones; equal weights make equal bytes."""
    facts = {"format": ENCODER, "model": canonical(encoder.shape.model_dump(mode="json")), "joints": str(encoder.joints)}
    _write(path, encoder, facts | ({"parents": canonical(encoder.parents)} if encoder.parents else {}))


def load_encoder(path: Path | str, device: str | torch.device = "cpu") -> Encoder:
    """The encoder of a file that `save_encoder` wrote, in evaluation mode; InputError for any other file."""
    tensors, facts = _read(path, ENCODER)
    try:
        parents = tuple(map(int, json.loads(facts.get("parents", "[]"))))
        encoder = Encoder(Model.model_validate_json(facts["model"]), int(facts["joints"]), parents)
    except (KeyError, ValueError):
        raise InputError(f"{path}: its header does not describe an encoder: make it again") from None
    return _fill(encoder, tensors, path).to(device).eval()


def save_heads(path: Path | str, projector: nn.Module, predictor: nn.Module | None = None) -> None:
    """Write a strategy's heads, running statistics included; equal weights make equal bytes."""
    heads = {"projector": projector} | ({} if predictor is None else {"predictor": predictor})
    _write(path, nn.ModuleDict(heads), {"format": HEADS})


def fill_heads(path: Path | str, heads: nn.ModuleDict) -> None:
    """Give `heads` the weights of a file that `save_heads` wrote; InputError where they are not the same."""
    _fill(heads, _read(path, HEADS)[0], path)


def load_heads(path: Path | str, device: str | torch.device = "cpu") -> tuple[Projector, Predictor]:
    """The heads of a file that nearest-neighbour tuning wrote, in evaluation mode; InputError for any other file."""
    tensors, _ = _read(path, HEADS)
    try:
        hidden, width = tensors["predictor.widen.weight"].shape
    except (KeyError, ValueError):
        raise InputError(
            f"{path} has no predictor: name heads of a method with a predictor (strategy nnclr, or moco as released)"
        ) from None
    heads = nn.ModuleDict({"projector": Projector(width), "predictor": Predictor(width, hidden, "predictor.widen.bias" in tensors)})
    projector, predictor = _fill(heads, tensors, path).to(device).eval().values()
    return projector, predictor


def import_released(path: Path | str, heads: int | None = None) -> tuple[Encoder, nn.ModuleDict]:
    """The encoder of a released MAMP or STARS checkpoint, or of a file of `stars export --format torch`; STARS's heads, none of the others.

    Args:
        path: torch file with a dict of tensors, by itself or as `model` or `state_dict`: MAMP's, its decoder there or not, or a released
            stage 2's, whose queue and teacher are left out, which stderr is told.
        heads: attention heads, which no tensor's shape tells; None: as the file says, else the released MAMP's, which stderr is told.

    InputError naming the tensor if one is missing, has another shape, or belongs to neither. Both are in evaluation mode.
    """
    state, told = _read_released(path)
    prefix = stage2_names.student(state)
    own = {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
    encoder = _encoder_like(own, heads, told, path, prefix)
    tuned, modules = _heads_like(own, encoder.shape.width) if prefix else (nn.ModuleDict(), {})
    released = {stage2_names.released(name, modules): name for name in tuned.state_dict()}
    expected = mamp_names.to_released({f"encoder.{name}": tensor for name, tensor in encoder.state_dict().items()})
    expected |= {name: tuned.state_dict()[ours] for name, ours in released.items()}
    left = {name for name in state if (stage2_names.for_training(name) if prefix else name.startswith(("decoder_", "mask_token")))}
    _compare({prefix + name: tensor for name, tensor in expected.items()}, {name: state[name] for name in state.keys() - left}, path)
    converted = mamp_names.to_ours({name: own[name] for name in expected.keys() - released.keys()})
    encoder.load_state_dict({name.removeprefix("encoder."): tensor for name, tensor in converted.items()})
    tuned.load_state_dict({ours: own[name] for name, ours in released.items()})
    if prefix and left:
        kinds = sorted(set(map(stage2_names.for_training, left)))
        print(f"stars: {path}: left out what only training needs: {', '.join(kinds)} ({len(left)} tensors)", file=sys.stderr)
    if told is None and heads is None:
        print(
            f"stars: {path} does not say how many heads it has: {MAMP_HEADS} are assumed, as in the released MAMP; if not, give --heads N",
            file=sys.stderr,
        )
    return encoder.eval(), tuned.eval()


def _encoder_like(own: Mapping[str, Tensor], heads: int | None, told: Any, path: Path | str, prefix: str) -> Encoder:
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
    return Encoder(shape, joints)


def _heads_like(own: Mapping[str, Tensor], width: int) -> tuple[nn.ModuleDict, dict[str, str]]:
    """Heads as large as a released stage 2's, and the released names of their modules."""
    if own.keys() & {"head.weight", "head.bias"}:
        return nn.ModuleDict({"projector": nn.Linear(width, _rows(own, "head.weight"))}), stage2_names.LINEAR
    hidden = _rows(own, "head.predictor.0.weight")
    return nn.ModuleDict({"projector": Projector(width), "predictor": Predictor(width, hidden, bias=False)}), stage2_names.PAIR


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


def _read_released(path: Path | str) -> tuple[dict[str, Tensor], Any]:
    """The state dict of a torch file, and the model block that `stars export` left beside it, or None.

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
    return state, found.get(EXPORTED)


def _write(path: Path | str, module: nn.Module, facts: dict[str, str]) -> None:
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in module.state_dict().items()}
    with atomic(path) as temporary:
        temporary.write_bytes(_ordered(safetensors.torch.save(tensors, facts)))


def _ordered(content: bytes) -> bytes:
    """The same file with its header's keys sorted: safetensors writes metadata in an order that differs from run to run."""
    end = 8 + int.from_bytes(content[:8], "little")
    header = canonical(json.loads(content[8:end])).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + content[end:]


def _read(path: Path | str, kind: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of one of our files."""
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            facts = file.metadata() or {}
            if facts.get("format") != kind:
                raise InputError(f"{path} is not a {kind} file but {facts.get('format', 'of unknown format')}: name one that stars wrote")
            return {name: file.get_tensor(name) for name in file.keys()}, facts  # noqa: SIM118
    except FileNotFoundError:
        raise InputError(f"{path} is missing: run the stage that makes it") from None
    except (safetensors.SafetensorError, OSError) as error:
        raise InputError(f"{path} is not a readable safetensors file ({error}): make it again") from None


def _fill(module: Any, tensors: Mapping[str, Tensor], path: Path | str) -> Any:
    _compare(module.state_dict(), tensors, path)
    module.load_state_dict(tensors)
    return module


def _compare(expected: Mapping[str, Tensor], found: Mapping[str, Tensor], path: Path | str) -> None:
    """InputError naming the first tensor that is missing, too many or of another shape."""
    for name in sorted(expected.keys() | found.keys()):
        if name not in found:
            raise InputError(f"{path}: tensor {name} is missing: is this the right checkpoint?")
        if name not in expected:
            raise InputError(f"{path}: unexpected tensor {name}: is this the right checkpoint?")
        if expected[name].shape != found[name].shape:
            raise InputError(
                f"{path}: tensor {name} is {tuple(found[name].shape)}, not {tuple(expected[name].shape)}: is it the right checkpoint?"
            )
