"""Resolve a method for one data set: its kind, the method it starts from, and its settings, following the chain of
`from:`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from stars.config import Config, Finetune, Recipe, Settings, Tune
from stars.config.reading import merge, nearest, validate
from stars.errors import InputError
from stars.pipeline import choice as training
from stars.pipeline.descriptions import dataset
from stars.pipeline.once import once

BLOCKS = ("model", "pretrain", "tune", "train", "embed", "joints", "knn", "linear", "finetune")
TRAINED = ("pretrain", "tune", "train")  # kinds of method; the others are not trained by themselves
TRANSFORMER = "transformer"
LAYER_DECAY, DROP_PATH = 0.8, 0.3  # of fine-tuning a pre-trained transformer, as in the released code


@dataclass(frozen=True)
class Method:
    """A recipe resolved.

    Attributes:
        kind: what makes it. scratch: nothing; pretrain, tune, train: a training; network: a training of several
            networks, its parent's; ensemble: other methods; joints: joint positions.
        backbone: of its encoder.
        parent: method whose networks it starts from, or is one of; heads: tuned method whose heads it starts from.
        network: of kind network, which of its parent's; networks: of kind train, by name: `backbone` and `model` of
            each.
        members: of kind ensemble, methods and their weights.
        compared: heads whose outputs KNN may compare.
        gpus: that share each batch of its training; nodes: that they are spread over.
    """

    name: str
    title: str
    kind: str
    backbone: str
    parent: str | None
    heads: str | None
    blocks: dict[str, dict[str, Any]]
    gpus: int
    nodes: int
    network: str | None = None
    networks: dict[str, dict[str, Any]] = field(default_factory=dict)
    members: dict[str, float] = field(default_factory=dict)
    compared: tuple[str, ...] = ()

    @property
    def outputs(self) -> tuple[str, ...]:
        """Modules whose outputs can be compared."""
        return "encoder", *self.compared


Chain = list[tuple[str, Recipe]]  # a method and those in its chain of `from`, the method itself first


@once
def method(config: Config, data: str, name: str) -> Method:
    """Recipe `name`, resolved for data set `data`; InputError if its chain is invalid."""
    chain = _chain(config, name)
    kind = _kind(chain)
    parent = _parent(config, chain, kind)
    where = f"methods.{name} on data.{data}"
    backbone = (
        method(config, data, parent).backbone
        if parent and kind in ("tune", "network")
        else _first(chain, "backbone") or TRANSFORMER
    )
    from_networks = ("model",) if kind == "train" else ()  # networks may have other backbones
    blocks = {
        block: _block(config, data, chain, block, backbone, where) for block in BLOCKS if block not in from_networks
    }
    networks: dict[str, dict[str, Any]] = {}
    if kind == "train":
        blocks["train"], networks = training.resolved(
            config, blocks["train"], _given(chain, "model"), _first(chain, "backbone"), where
        )
        first = next(iter(networks.values()))
        backbone, blocks["model"] = first["backbone"], first["model"]
    elif kind in ("tune", "network") and parent:
        source = method(config, data, parent)
        chosen = source.networks.get(_first(chain, "network"), {}) if kind == "network" else {}
        backbone, blocks["model"] = chosen.get("backbone", source.backbone), chosen.get("model", source.blocks["model"])
    found = Method(
        name=name,
        title=config.methods[name].title or name.upper(),
        kind=kind,
        backbone=backbone,
        parent=parent,
        heads=_first(chain, "heads"),
        blocks=blocks,
        gpus=_first(chain, "gpus") or config.compute.gpus,
        nodes=1 if _first(chain, "gpus") == 1 else config.compute.nodes,
        network=_first(chain, "network") if kind == "network" else None,
        networks=networks,
        members=dict(_first(chain, "ensemble") or {}),
        compared=_compared(kind, blocks, where),
    )
    _check(config, data, found, chain)
    return found


def _kind(chain: Chain) -> str:
    """Kind of a method: `joints` or `tune` if anywhere in the chain; otherwise that of the nearest link with one."""
    for kind in ("joints", "tune"):
        if any(getattr(recipe, kind) is not None for _, recipe in chain):
            return kind
    said = (
        kind
        for _, recipe in chain
        for kind in ("ensemble", "network", "train", "pretrain")
        if getattr(recipe, kind) is not None
    )
    return next(said, "scratch")


def _parent(config: Config, chain: Chain, kind: str) -> str | None:
    """The method from whose networks training starts, or one of whose networks is extracted."""
    name = chain[0][0]
    if kind == "tune":
        links = [link for link, _ in chain]
        tuned = [link for link, recipe in chain if recipe.tune is not None]
        parent = next(iter(links[links.index(tuned[-1]) + 1 :]), None)
        _check_tuned(chain, parent)
        return parent
    if kind == "network":
        if len(chain) < 2:
            raise InputError(f"methods.{name}.network: give `from:`, the method that trains several networks")
        return chain[1][0]
    if (start := _first(chain, "starts")) is None:
        return None
    if kind != "train":
        raise InputError(f"methods.{name}.starts needs `train`: add `train`, or use `from:` and `tune`")
    if start not in config.methods:
        raise InputError(f"methods.{name}.starts: no method {start}{nearest(start, config.methods)}")
    return start


def _first(chain: Chain, name: str) -> Any:
    """Value in the nearest link of the chain that has one; None if none has."""
    return next((value for _, recipe in chain if (value := getattr(recipe, name)) is not None), None)


def _given(chain: Chain, block: str) -> dict[str, Any]:
    """A block merged along the chain, parent first."""
    value: dict[str, Any] = {}
    for _, recipe in reversed(chain):
        value = merge(value, getattr(recipe, block, None))
    return value


def _block(config: Config, data: str, chain: Chain, block: str, backbone: str, where: str) -> dict[str, Any]:
    """One block of settings, resolved for a method."""
    if block == "model" and backbone != TRANSFORMER:
        return training.model(config, backbone, _given(chain, "model"), where)
    typed = getattr(config, block)
    value = merge(typed.model_dump(), config.data[data].settings.get(block))
    if config.protocol == "published":
        for _, recipe in reversed(chain):
            value = merge(value, (recipe.published or {}).get(block))
    try:
        found = validate(type(typed), merge(value, _given(chain, block)), where, block)
    except InputError:
        _blame(type(typed), value, chain, block)
        raise
    return found.read() if isinstance(found, Tune) else found.model_dump(mode="json")


def _blame(typed: type[Settings], value: dict[str, Any], chain: Chain, block: str) -> None:
    """InputError that names the link of the chain that makes a block invalid, not the method that inherits it."""
    for name, recipe in reversed(chain):
        value = merge(value, getattr(recipe, block))
        validate(typed, value, f"methods.{name}", block)


def _compared(kind: str, blocks: dict[str, dict[str, Any]], where: str) -> tuple[str, ...]:
    """Heads whose outputs KNN may compare, according to the objective's settings."""
    if kind == "train":
        return training.compared(blocks["train"], where)
    if kind != "tune":
        return ()
    tune = Tune.model_validate(blocks["tune"])
    if tune.block != "options":
        found: tuple[str, ...] = getattr(tune, tune.block).compared_heads
        return found
    return training.compared({"objective": tune.strategy, "options": tune.options}, where, "tune")


def trainings(config: Config, data: str, name: str) -> list[str]:
    """The trained methods behind an encoder, its own included, in the order in which they are trained; none for
    random weights.
    """
    found = method(config, data, name)
    behind = (found.parent, found.heads, *found.members)
    before = [one for start in behind if start for one in trainings(config, data, start)]
    return [*dict.fromkeys(before), *([name] if found.kind in TRAINED else [])]


def _chain(config: Config, name: str) -> Chain:
    chain: Chain = []
    at: str | None = name
    while at is not None:
        if at not in config.methods:
            raise InputError(
                f"methods.{chain[-1][0]}.from: no method {at}{nearest(at, config.methods)}"
                if chain
                else f"no method {at}"
            )
        if at in [link for link, _ in chain]:
            links = " → ".join([*(link for link, _ in chain), at])
            raise InputError(
                f"methods.{name}.from: circular chain at {at} ({links}): remove `from` from one of these methods"
            )
        chain.append((at, config.methods[at]))
        at = config.methods[at].start
    return chain


def _check(config: Config, data: str, found: Method, chain: Chain) -> None:
    """Check what a method of each kind needs beyond valid blocks."""
    where = f"methods.{found.name}"
    if found.kind == "joints":
        _check_joints(chain)
    if found.kind == "pretrain" and found.backbone != TRANSFORMER:
        raise InputError(
            f"{where}: pretrain needs a transformer, but the backbone is {found.backbone}: use `train` instead"
        )
    if found.kind == "tune":
        _check_strategy(config, data, found)
    if found.kind == "network":
        known = method(config, data, found.parent).networks if found.parent else {}
        if len(known) < 2 or found.network not in known:
            raise InputError(
                f"{where}.network: {found.parent} trains no network {found.network}{nearest(str(found.network), known)}"
            )
    if found.kind == "ensemble":
        _check_members(config, data, found)
    if found.kind in TRAINED:
        batch = found.blocks[found.kind]["optimiser"]["batch"]
        if batch % found.gpus:
            raise InputError(
                f"{where} on data.{data}: {found.gpus} GPUs cannot share {found.kind}.optimiser.batch ({batch}) evenly:"
                " change either"
            )
        if found.gpus % found.nodes:
            raise InputError(
                f"{where} on data.{data}: its gpus ({found.gpus}) is not a multiple of compute.nodes ({found.nodes}):"
                " change either"
            )


def _check_members(config: Config, data: str, found: Method) -> None:
    where = f"methods.{found.name}.ensemble"
    if not found.members:
        raise InputError(
            f"{where}: give methods and their weights, e.g. {{aimclr: 0.6, aimclr_bone: 0.6, aimclr_motion: 0.4}}"
        )
    for member in found.members:
        if member not in config.methods:
            raise InputError(f"{where}: no method {member}{nearest(member, config.methods)}")
        if method(config, data, member).kind in ("ensemble", "joints"):
            raise InputError(f"{where}: {member} has no encoder: name its members instead")
    protocols = config.methods[found.name].protocols
    if protocols is None or not {*protocols} <= {"knn", "few_shot", "linear", "finetune"}:
        raise InputError(
            f"methods.{found.name}: an ensemble is evaluated by knn, few_shot, linear and finetune: give protocols:"
            " [knn, linear]"
        )
    for member in found.members:
        theirs = config.methods[member].protocols
        for protocol in {*protocols} & {"linear", "finetune"}:
            if theirs is not None and protocol not in theirs:
                raise InputError(
                    f"methods.{found.name}: its {protocol} scores need those of {member}, whose protocols do not"
                    " include it: add it there"
                )


def _check_tuned(chain: Chain, parent: str | None) -> None:
    name = chain[0][0]
    if parent is None:
        raise InputError(f"methods.{name} has `tune` but no pre-trained parent: give `from:`, e.g. from: mamp")
    for link, recipe in chain:
        if link == parent:
            return
        for block in ("model", "pretrain", "train", "backbone"):
            if getattr(recipe, block) is not None:
                raise InputError(
                    f"methods.{link}.{block}: a tuned method cannot change its encoder: put this block into an untuned"
                    " method and start `from` that"
                )


def _check_joints(chain: Chain) -> None:
    """Joint positions are not an encoder: they can neither be trained nor evaluated by training."""
    name = chain[0][0]
    if any(value is not None for _, recipe in chain for value in (recipe.pretrain, recipe.tune, recipe.train)):
        raise InputError(
            f"methods.{name}: joint positions cannot be trained: remove `joints`, or `pretrain` and `tune`, from it and"
            " its parents"
        )
    protocols = chain[0][1].protocols
    if protocols is None or not {*protocols} <= {"knn", "few_shot"}:
        raise InputError(
            f"methods.{name}: joint positions support only protocols without training: give protocols: [knn, few_shot]"
        )


def _check_strategy(config: Config, data: str, found: Method) -> None:
    """Check what a tuned method needs: settings of its loss, the data set's mirror pairs, heads of the same loss."""
    where, tune = f"methods.{found.name}", Tune.model_validate(found.blocks["tune"])
    if tune.block == "options":
        training.check_strategy(tune.strategy, found.backbone, where)
    if tune.augment.flip > 0 and not dataset(config, data).mirror:
        raise InputError(
            f"{where}: tune.augment.flip needs `mirror`, which {config.data[data].dataset}.yaml lacks: add pairs of"
            " left and right joints"
        )
    if found.heads is None:
        return
    start = config.methods.get(found.heads)
    if start is None:
        raise InputError(f"{where}.heads: no method {found.heads}{nearest(found.heads, config.methods)}")
    giver = method(config, data, found.heads) if start.heads is None else None
    if giver is None or giver.heads or giver.kind != "tune" or giver.blocks["tune"]["strategy"] != tune.strategy:
        raise InputError(
            f"{where}.heads: {found.heads} must be a tuned method with strategy {tune.strategy} that starts from new"
            " heads"
        )


class Across(NamedTuple):
    """An encoder's data set and split, and those on which it is evaluated."""

    source: str
    source_split: str
    target: str
    target_split: str


def pairs(config: Config, protocol: str) -> list[Across]:
    """The pairs of `transfer` or `few_shot`."""
    block = config.transfer if protocol == "transfer" else config.few_shot
    first = {data: block.splits[0] for data, block in config.data.items()}
    return [
        Across(
            pair.source, pair.source_split or first[pair.source], pair.target, pair.target_split or first[pair.target]
        )
        for pair in block.pairs
    ]


def finetune_block(config: Config, protocol: str, data: str, name: str) -> dict[str, Any]:
    """The block `finetune`, resolved for a protocol that fine-tunes on clips of `data`, with its layer decay."""
    recipe = method(config, data, name)
    differences = {"semi": config.semi.finetune, "transfer": config.transfer.finetune}.get(protocol)
    where = f"methods.{name} on data.{data}", "finetune" if differences is None else f"{protocol}.finetune"
    block = validate(Finetune, merge(recipe.blocks["finetune"], differences), *where).model_dump(mode="json")
    transformer = recipe.backbone == TRANSFORMER
    if block["layer_decay"] is None:
        block["layer_decay"] = LAYER_DECAY if transformer and recipe.kind != "scratch" else 1.0
    if block["drop_path"] is None:
        block["drop_path"] = DROP_PATH if transformer else 0.0
    protocols = config.methods[name].protocols
    if block["drop_path"] and not transformer and (protocols is None or protocol in protocols):
        raise InputError(
            f"{where[0]}: {where[1]}.drop_path: only the transformer supports stochastic depth: set it to 0"
        )
    return block


def tag(config: Config, name: str, seed: int) -> str:
    """Folder of a method trained with `seed`: its name for the first seed, else name-seedN."""
    return name if seed == config.seeds[0] else f"{name}-seed{seed}"


def untag(config: Config, folder: str) -> tuple[str, int]:
    """Inverse of `tag`."""
    name, found, seed = folder.partition("-seed")
    return name, int(seed) if found else config.seeds[0]
