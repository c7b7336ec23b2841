"""What a recipe comes to for one data set: its kind, the method it starts from, and its blocks, the chain of `from:` worked through."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Concatenate, NamedTuple, ParamSpec, TypeVar

from stars.config import Config, Finetune, Recipe, Tune
from stars.config.reading import merge, nearest, read_yaml, validate
from stars.data import common
from stars.data.dataset import Dataset
from stars.errors import InputError

BLOCKS = ("model", "pretrain", "tune", "embed", "joints", "knn", "linear", "finetune")
TRAINED = ("pretrain", "tune")  # kinds of method; scratch and joints are not
LAYER_DECAY = 0.8  # of fine-tuning a pre-trained encoder, as in the released code
HOME = Path(__file__).resolve().parents[1]
Found = TypeVar("Found")
Names = ParamSpec("Names")


def folders(kind: str) -> tuple[Path, Path]:
    """Where files of config/{kind} lie: in the working directory's, or else in that beside the package."""
    return Path("config") / kind, HOME / "config" / kind


def find(kind: str, name: str, key: str) -> Path:
    """A file of config/{kind} by its name, the working directory's or else the one beside the package, or by its path ending in .yaml.

    Raises:
        InputError: there is none; it says what `key` of the configuration may be.
    """
    paths = [Path(name)] if name.endswith(".yaml") else [folder / f"{name}.yaml" for folder in folders(kind)]
    found = next((path for path in paths if path.exists()), None)
    if found is None:
        raise InputError(
            f"{key}: no {name} in config/{kind}{nearest(name, sorted({file.stem for one in folders(kind) for file in one.glob('*.yaml')}))}"
        )
    return found


def once(resolve: Callable[Concatenate[Config, Names], Found]) -> Callable[Concatenate[Config, Names], Found]:
    """`resolve(config, …)`, worked out once a configuration: a workflow asks for the same again and again."""

    @functools.wraps(resolve)
    def resolved(config: Config, *names: Names.args, **named: Names.kwargs) -> Found:
        known, asked = config._resolved, (resolve, *names, *sorted(named.items()))
        if asked not in known:
            known[asked] = resolve(config, *names, **named)
        return known[asked]

    return resolved


@once
def dataset(config: Config, data: str) -> Dataset:
    """The description that `data.<name>.dataset` names: a name in config/datasets, or a path ending in .yaml."""
    return describe(config.data[data].dataset, f"data.{data}.dataset")


def describe(name: str, key: str) -> Dataset:
    """The description of that name in config/datasets, or in a file whose path ends in .yaml; `key` is for messages.

    `skeleton: NAME` in it stands for the joints, parents, mirror pairs and root of config/skeletons/NAME.yaml.
    """
    path = find("datasets", name, key)
    given = read_yaml(path)
    if skeleton := given.pop("skeleton", None):
        given = merge(read_yaml(find("skeletons", str(skeleton), f"{path}: skeleton")), given)
    return validate(Dataset, given, str(path))


@once
def stored(config: Config, data: str) -> Dataset:
    """The description as it holds for the clips that are stored: on the common joints, where `ingest.joints` says so."""
    found = dataset(config, data)
    if config.data[data].ingest.joints == "file":
        return found
    try:
        common.sources(found.joints)
    except InputError as error:
        raise InputError(f"data.{data}.{error}") from None
    return common.described(found)


@dataclass(frozen=True)
class Method:
    """A recipe resolved: what kind of training it is, whose encoder it starts from, and its blocks."""

    name: str
    title: str
    kind: str  # scratch, pretrain, tune or joints
    parent: str | None
    heads: str | None  # tuned method whose heads it starts from
    blocks: dict[str, dict[str, Any]]
    gpus: int  # that share each batch of its training

    @property
    def outputs(self) -> tuple[str, ...]:
        """Modules whose outputs can be compared: NNCLR and, as released, MoCo have a projector and a predictor."""
        tune = self.blocks["tune"] if self.kind == "tune" else {}
        compared = tune.get("strategy") == "nnclr" or tune.get("moco", {}).get("head") == "predictor"
        return ("encoder", "projector", "predictor") if compared else ("encoder",)


@once
def method(config: Config, data: str, name: str) -> Method:
    """Recipe `name` as it holds for data set `data`; InputError where its chain makes no sense."""
    chain = _chain(config, name)
    links = [link for link, _ in chain]
    tuned = [link for link, recipe in chain if recipe.tune is not None]
    parent = next(iter(links[links.index(tuned[-1]) + 1 :]), None) if tuned else None
    if tuned:
        _check_tuned(chain, parent)
    kind = (
        "tune"
        if tuned
        else next((kind for kind in ("joints", "pretrain") if any(getattr(one, kind) is not None for _, one in chain)), "scratch")
    )
    if any(recipe.joints is not None for _, recipe in chain):
        _check_joints(chain)
    blocks = {}
    for block in BLOCKS:
        value = merge(getattr(config, block).model_dump(), config.data[data].settings.get(block))
        for _, recipe in reversed(chain):
            value = merge(value, getattr(recipe, block, None))
        typed = validate(type(getattr(config, block)), value, f"methods.{name} on data.{data}", block)
        blocks[block] = typed.read() if isinstance(typed, Tune) else typed.model_dump(mode="json")
    gpus = next((recipe.gpus for _, recipe in chain if recipe.gpus), config.compute.gpus)
    batch = blocks[kind]["optimiser"]["batch"] if kind in TRAINED else gpus
    if batch % gpus:
        raise InputError(f"methods.{name} on data.{data}: {gpus} GPUs cannot share {kind}.optimiser.batch ({batch}) evenly: change either")
    heads = next((recipe.heads for _, recipe in chain if recipe.heads), None)
    found = Method(name, config.methods[name].title or name.upper(), kind, parent, heads, blocks, gpus)
    if tuned:
        _check_strategy(config, data, found)
    return found


def trainings(config: Config, data: str, name: str) -> list[str]:
    """The trained methods behind an encoder, its own included, in the order in which they are trained; none for random weights."""
    found = method(config, data, name)
    before = [one for start in (found.parent, found.heads) if start for one in trainings(config, data, start)]
    return [*dict.fromkeys(before), *([name] if found.kind in TRAINED else [])]


def _chain(config: Config, name: str) -> list[tuple[str, Recipe]]:
    chain: list[tuple[str, Recipe]] = []
    at: str | None = name
    while at is not None:
        if at not in config.methods:
            raise InputError(f"methods.{chain[-1][0]}.from: no method {at}{nearest(at, config.methods)}" if chain else f"no method {at}")
        if at in [link for link, _ in chain]:
            links = " → ".join([*(link for link, _ in chain), at])
            raise InputError(f"methods.{name}.from: the chain comes back to {at} ({links}): take `from` out of one of these methods")
        chain.append((at, config.methods[at]))
        at = config.methods[at].start
    return chain


def _check_tuned(chain: list[tuple[str, Recipe]], parent: str | None) -> None:
    name = chain[0][0]
    if parent is None:
        raise InputError(f"methods.{name} is tuned but starts from no untuned method: give `from:`, e.g. from: mamp")
    for link, recipe in chain:
        if link == parent:
            return
        for block in ("model", "pretrain"):
            if getattr(recipe, block) is not None:
                raise InputError(
                    f"methods.{link}.{block}: a tuned method takes its encoder as it is; make an untuned method with this block and start `from` it"
                )


def _check_joints(chain: list[tuple[str, Recipe]]) -> None:
    """Joint positions are no encoder that could be trained, or evaluated by training."""
    name = chain[0][0]
    if any(recipe.pretrain is not None or recipe.tune is not None for _, recipe in chain):
        raise InputError(
            f"methods.{name}: joint positions cannot be trained: take `joints` or `pretrain` and `tune` out of it and its parents"
        )
    protocols = chain[0][1].protocols
    if protocols is None or not {*protocols} <= {"knn", "few_shot"}:
        raise InputError(f"methods.{name}: joint positions are compared, not trained on: give protocols: [knn, few_shot]")


def _check_strategy(config: Config, data: str, found: Method) -> None:
    """What a tuned method needs of others: its loss's own settings, the data set's mirror pairs, heads of the same loss."""
    where, tune = f"methods.{found.name}", Tune.model_validate(found.blocks["tune"])
    if tune.block == "options":
        from stars.training import losses  # torch is loaded only for a loss that this package does not know

        validate(losses.find(tune.strategy).Options, tune.options, f"{where} on data.{data}", "tune.options")
    if tune.augment.flip > 0 and not dataset(config, data).mirror:
        raise InputError(f"{where}: tune.augment.flip needs `mirror`, which {config.data[data].dataset}.yaml does not give: add its pairs")
    if found.heads is None:
        return
    start = config.methods.get(found.heads)
    if start is None:
        raise InputError(f"{where}.heads: no method {found.heads}{nearest(found.heads, config.methods)}")
    giver = method(config, data, found.heads) if start.heads is None else None
    if giver is None or giver.heads or giver.kind != "tune" or giver.blocks["tune"]["strategy"] != tune.strategy:
        raise InputError(f"{where}.heads: {found.heads} must be a tuned method with strategy {tune.strategy} that starts from new heads")


class Across(NamedTuple):
    """An encoder's data set and split, and those it is evaluated on."""

    source: str
    source_split: str
    target: str
    target_split: str


def pairs(config: Config, protocol: str) -> list[Across]:
    """The pairs of `transfer` or `few_shot`."""
    block = config.transfer if protocol == "transfer" else config.few_shot
    first = {data: block.splits[0] for data, block in config.data.items()}
    return [
        Across(pair.source, pair.source_split or first[pair.source], pair.target, pair.target_split or first[pair.target])
        for pair in block.pairs
    ]


def finetune_block(config: Config, protocol: str, data: str, name: str) -> dict[str, Any]:
    """The block `finetune` as it holds for a protocol that fine-tunes on clips of `data`, its layer decay decided."""
    recipe = method(config, data, name)
    differences = {"semi": config.semi.finetune, "transfer": config.transfer.finetune}.get(protocol)
    where = f"methods.{name} on data.{data}", "finetune" if differences is None else f"{protocol}.finetune"
    block = validate(Finetune, merge(recipe.blocks["finetune"], differences), *where).model_dump(mode="json")
    if block["layer_decay"] is None:
        block["layer_decay"] = 1.0 if recipe.kind == "scratch" else LAYER_DECAY
    return block


def tag(config: Config, name: str, seed: int) -> str:
    """Folder of a method trained with `seed`: its name for the first seed, else name-seedN."""
    return name if seed == config.seeds[0] else f"{name}-seed{seed}"


def untag(config: Config, folder: str) -> tuple[str, int]:
    """Inverse of `tag`."""
    name, found, seed = folder.partition("-seed")
    return name, int(seed) if found else config.seeds[0]
