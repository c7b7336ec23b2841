"""Saves and loads weights as safetensors, without pickles."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from stars import backbones, objectives
from stars.backbones.base import Backbone
from stars.config import Settings
from stars.errors import InputError
from stars.objectives.base import compared_heads
from stars.objectives.heads import Predictor, Projector
from stars.provenance.files import atomic, canonical
from stars.training.plan import generator, seeded

ENCODER, HEADS = "stars-encoder-1", "stars-heads-1"
NETWORKS = "networks"  # prefix of the networks after the first in a file of heads
FIRST_BACKBONE = "transformer"  # backbone of files that name none


def save_encoder(path: Path | str, network: Backbone) -> None:
    """Write a network with its settings and skeleton; equal weights give equal bytes."""
    _write(path, network.state_dict(), {"format": ENCODER, **_described(network)})


def load_encoder(path: Path | str, device: str | torch.device = "cpu") -> Backbone:
    """Load a network saved by `save_encoder`, in evaluation mode; InputError for any other file."""
    tensors, facts = _read(path, ENCODER)
    return fill(_network(facts, path), tensors, path).to(device).eval()


def backbone_of(path: Path | str) -> str:
    """Name of the backbone in a file from `save_encoder`; InputError for any other file."""
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            return (file.metadata() or {}).get("backbone", FIRST_BACKBONE)
    except (FileNotFoundError, safetensors.SafetensorError, OSError):
        _read(path, ENCODER)  # raises the error
        raise


def save_heads(
    path: Path | str,
    heads: nn.ModuleDict,
    objective: tuple[str, Settings] | None = None,
    others: Mapping[str, Backbone] | None = None,
) -> None:
    """Write an objective's heads with running statistics, and all networks but the first; equal weights give equal
    bytes.

    Args:
        objective: its name and settings, from which `load_heads` rebuilds the heads; None: a projector and possibly a
            predictor.
    """
    facts = {"format": HEADS}
    if objective:
        facts |= {"objective": objective[0], "options": canonical(objective[1].model_dump(mode="json"))}
    if others:
        facts[NETWORKS] = canonical({other: _described(network) for other, network in others.items()})
    _write(path, nn.ModuleDict({**heads, **({NETWORKS: nn.ModuleDict(others)} if others else {})}).state_dict(), facts)


def fill_heads(path: Path | str, heads: nn.ModuleDict) -> None:
    """Load weights saved by `save_heads` into `heads`; InputError if they do not match."""
    fill(heads, _without_networks(_read(path, HEADS)[0]), path)


def load_heads(path: Path | str, network: Backbone) -> dict[str, nn.Module]:
    """Load the heads whose outputs can be compared, by name, in evaluation mode, on the CPU; each takes its
    predecessor's output.

    Args:
        network: the network whose features the first head takes.

    InputError for a file that `save_heads` did not write.
    """
    tensors, facts = _read(path, HEADS)
    tensors = _without_networks(tensors)
    if "objective" not in facts:
        return _older_heads(tensors, path)
    with seeded(0, "heads"):  # random weights are replaced at once
        found = objectives.find(facts["objective"], f"{path}: its objective")
        options = found.Options.model_validate_json(facts["options"])
        heads = found({"encoder": network}, options, generator(0, "queue")).kept()
    filled = fill(heads, tensors, path).eval()
    return {name: filled[name] for name in compared_heads(options, f"{path}: {facts['objective']}")}


def _older_heads(tensors: Mapping[str, Tensor], path: Path | str) -> dict[str, nn.Module]:
    """Projector and predictor of a file without an objective."""
    try:
        hidden, width = tensors["predictor.widen.weight"].shape
    except (KeyError, ValueError):
        raise InputError(
            f"{path} has no predictor: use heads of a method with a predictor (strategy nnclr, or moco as released)"
        ) from None
    heads = nn.ModuleDict(
        {"projector": Projector(width), "predictor": Predictor(width, hidden, "predictor.widen.bias" in tensors)}
    )
    return dict(fill(heads, tensors, path).eval())


def load_network(path: Path | str, name: str) -> Backbone:
    """Load a further network from a file of `save_heads`, in evaluation mode; InputError if it has none of that
    name.
    """
    tensors, facts = _read(path, HEADS)
    described = json.loads(facts.get(NETWORKS, "{}"))
    if name not in described:
        raise InputError(f"{path} has no network {name}: it has {', '.join(described) or 'none besides the encoder'}")
    prefix = f"{NETWORKS}.{name}."
    own = {key.removeprefix(prefix): tensor for key, tensor in tensors.items() if key.startswith(prefix)}
    return fill(_network(described[name], path), own, path).eval()


def _described(network: Backbone) -> dict[str, str]:
    """Facts about a network that its tensors do not show."""
    facts = {"model": canonical(network.options.model_dump(mode="json")), "joints": str(network.joints)}
    if network.parents:
        facts["parents"] = canonical(network.parents)
    if network.name != FIRST_BACKBONE:
        facts |= {"backbone": network.name, "bodies": str(network.bodies)}
    return facts


def _network(facts: Mapping[str, str], path: Path | str) -> Backbone:
    """Build the network described in a file's header."""
    try:
        found = backbones.find(facts.get("backbone", FIRST_BACKBONE), f"{path}: its backbone")
        parents = tuple(map(int, json.loads(facts.get("parents", "[]"))))
        with seeded(0, "model"):  # random weights are replaced at once
            return found(
                found.Options.model_validate_json(facts["model"]),
                int(facts["joints"]),
                parents,
                int(facts.get("bodies", 1)),
            )
    except (KeyError, ValueError):
        raise InputError(f"{path}: its header does not describe an encoder: make it again") from None


def _without_networks(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in tensors.items() if not name.startswith(f"{NETWORKS}.")}


def _write(path: Path | str, state: Mapping[str, Tensor], facts: dict[str, str]) -> None:
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    with atomic(path) as temporary:
        temporary.write_bytes(_ordered(safetensors.torch.save(tensors, facts)))


def _ordered(content: bytes) -> bytes:
    """The same file with sorted header keys, since safetensors writes metadata in varying order."""
    end = 8 + int.from_bytes(content[:8], "little")
    header = canonical(json.loads(content[8:end])).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + content[end:]


def _read(path: Path | str, kind: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read tensors and metadata of a file written by stars."""
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            facts = file.metadata() or {}
            if facts.get("format") != kind:
                raise InputError(
                    f"{path} is not a {kind} file but {facts.get('format', 'of unknown format')}: use one that stars"
                    " wrote"
                )
            return {name: file.get_tensor(name) for name in file.keys()}, facts  # noqa: SIM118
    except FileNotFoundError:
        raise InputError(f"{path} is missing: run the stage that makes it") from None
    except (safetensors.SafetensorError, OSError) as error:
        raise InputError(f"{path} is not a readable safetensors file ({error}): make it again") from None


def fill(module: Any, tensors: Mapping[str, Tensor], path: Path | str) -> Any:
    """Load these weights into the module; raises what `compare` raises."""
    compare(module.state_dict(), tensors, path)
    module.load_state_dict(tensors)
    return module


def compare(expected: Mapping[str, Tensor], found: Mapping[str, Tensor], path: Path | str) -> None:
    """InputError naming the first tensor that is missing, unexpected or of another shape."""
    for name in sorted(expected.keys() | found.keys()):
        if name not in found:
            raise InputError(f"{path}: tensor {name} is missing: is this the right checkpoint?")
        if name not in expected:
            raise InputError(f"{path}: unexpected tensor {name}: is this the right checkpoint?")
        if expected[name].shape != found[name].shape:
            raise InputError(
                f"{path}: tensor {name} is {tuple(found[name].shape)}, not {tuple(expected[name].shape)}: is it the"
                " right checkpoint?"
            )
