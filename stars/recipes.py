"""From one configuration file to the settings of each stage: merging, checking, and the chain of `from:`.

Precedence, weakest first: defaults in `stars.config` · the preset · the file · `data.<name>.settings` · the recipe's chain, parent first.
"""

from __future__ import annotations

import difflib
import functools
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from stars.config import Config, Recipe, Settings, Simulate
from stars.data.dataset import Dataset
from stars.data.readers import Layout
from stars.data.simulate.stage import SimulateStage
from stars.errors import InputError

BLOCKS = ("model", "pretrain", "tune", "embed", "knn", "linear")
HOME = Path(__file__).resolve().parents[1]
Block = TypeVar("Block", bound=Settings)
Found = TypeVar("Found")
Names = ParamSpec("Names")


class _Loader(yaml.SafeLoader):
    """Plain data only, numbers as YAML 1.2 reads them (1e-3 is a number), and no key twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        keys = [self.construct_object(child, deep=True) for child, _ in node.value]
        for name in keys:
            if keys.count(name) > 1:
                raise yaml.MarkedYAMLError(problem=f"key {name!r} stands twice", problem_mark=node.start_mark)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+0123456789."))


def read_yaml(path: Path | str) -> dict[str, Any]:
    """The file's mapping, an empty file an empty one; InputError with file and line otherwise."""
    try:
        value = yaml.load(Path(path).read_text(encoding="utf-8"), Loader=_Loader)
    except (FileNotFoundError, IsADirectoryError):
        raise InputError(f"configuration file {path} does not exist: give the path of a .yaml file") from None
    except (yaml.MarkedYAMLError, yaml.reader.ReaderError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise InputError(f"{path}{line}: not valid YAML: {getattr(error, 'problem', None) or error}") from None
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InputError(f"{path}: expected `key: value` lines, found {type(value).__name__}")
    return value


def merge(below: Mapping[str, Any], above: Mapping[str, Any] | None) -> dict[str, Any]:
    """`below` with the keys of `above` laid over it, block by block."""
    merged = dict(below)
    for name, value in (above or {}).items():
        old = merged.get(name)
        merged[name] = merge(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged


def load(given: Mapping[str, Any], source: str = "configuration") -> Config:
    """Check a mapping (a file's, or Snakemake's merged one) against every setting there is, its preset laid under it."""
    name = given.get("preset", "paper")
    preset = read_yaml(_find("presets", str(name))) if name in ("paper", "release") else {}
    used = given.get("data") or {}
    preset["data"] = {data: block for data, block in preset.get("data", {}).items() if data in used}
    config = validate(Config, merge(_defaults(), merge(preset, given)), source)
    _check_references(config, source)
    return config


def _defaults() -> dict[str, Any]:
    """All defaults as plain data, so that a file that gives one key of a block keeps the block's other defaults."""
    return Config().model_dump(mode="json", exclude={"data", "methods"})


def load_file(path: Path | str, overrides: Iterable[str] = ()) -> Config:
    """The configuration in `path` with `overrides` such as "tune.optimiser.lr=1e-3"."""
    given = read_yaml(path)
    for override in overrides:
        names, found, text = override.partition("=")
        if not found:
            raise InputError(f"--set {override}: expected key=value, e.g. tune.optimiser.lr=1e-3")
        value = yaml.load(text, Loader=_Loader)
        for name in reversed(names.split(".")):
            value = {name: value}
        given = merge(given, value)
    return load(given, str(path))


def validate(model: type[Block], value: Any, source: str, prefix: str = "") -> Block:
    """`value` as a typed block; every fault in one line with its key, and the nearest right name of an unknown one."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        faults = [_explain(model, fault, prefix) for fault in error.errors()]
        raise InputError(f"{source}: " + "; ".join(dict.fromkeys(faults))) from None


def _explain(model: type[BaseModel], fault: Mapping[str, Any], prefix: str) -> str:
    where = ".".join([*filter(None, [prefix]), *map(str, fault["loc"])])
    if fault["type"] == "extra_forbidden":
        names = _names_at(model, fault["loc"][:-1])
        return f"unknown key {where}{nearest(str(fault['loc'][-1]), names)}"
    message = fault["msg"].removeprefix("Value error, ")
    found = "" if fault["type"] in ("missing", "value_error") else f", found {fault['input']!r}"
    return f"{where}: {message[0].lower()}{message[1:]}{found}" if where else message


def _names_at(model: type[BaseModel], location: Iterable[str | int]) -> list[str]:
    """Keys that are right in the block at `location`."""
    for name in location:
        field = model.model_fields.get(str(name))
        kinds = [] if field is None else _models_in(field.annotation)
        model = kinds[0] if kinds else model
    return [field.alias or name for name, field in model.model_fields.items()]


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in getattr(annotation, "__args__", ()) for model in _models_in(part)]


def nearest(name: str, names: Iterable[str]) -> str:
    """A hint such as ": did you mean lr?", or the list of names when none is near."""
    names = list(names)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f": did you mean {close[0]}?" if close else f": expected one of {', '.join(names)}"


def _find(kind: str, name: str) -> Path:
    """A file of config/: the working directory's, else the one beside the package."""
    here = Path("config") / kind / f"{name}.yaml"
    return here if here.exists() else HOME / here


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
    name = config.data[data].dataset
    path = Path(name) if name.endswith(".yaml") else _find("datasets", name)
    if not path.exists():
        known = {file.stem for folder in (Path("config/datasets"), HOME / "config/datasets") for file in folder.glob("*.yaml")}
        raise InputError(f"data.{data}.dataset: no description {name}{nearest(name, sorted(known))}")
    return validate(Dataset, read_yaml(path), str(path))


@dataclass(frozen=True)
class Method:
    """A recipe resolved: what kind of training it is, whose encoder it starts from, and its blocks."""

    name: str
    title: str
    kind: str  # scratch, pretrain or tune
    parent: str | None
    blocks: dict[str, dict[str, Any]]
    gpus: int  # that share each batch of its training

    @property
    def outputs(self) -> tuple[str, ...]:
        """Modules whose outputs can be compared."""
        return ("encoder", "projector", "predictor") if self.kind == "tune" else ("encoder",)


@once
def method(config: Config, data: str, name: str) -> Method:
    """Recipe `name` as it holds for data set `data`; InputError where its chain makes no sense."""
    chain = _chain(config, name)
    tuned = [link for link, recipe in chain if recipe.tune is not None]
    parent = next((link for link, recipe in chain if recipe.tune is None), None) if tuned else None
    if tuned:
        _check_tuned(chain, parent)
    kind = "tune" if tuned else "pretrain" if any(recipe.pretrain is not None for _, recipe in chain) else "scratch"
    blocks = {}
    for block in BLOCKS:
        value = merge(getattr(config, block).model_dump(), config.data[data].settings.get(block))
        for _, recipe in reversed(chain):
            value = merge(value, getattr(recipe, block, None))
        blocks[block] = validate(type(getattr(config, block)), value, f"methods.{name} on data.{data}", block).model_dump(mode="json")
    gpus = next((recipe.gpus for _, recipe in chain if recipe.gpus), config.compute.gpus)
    batch = blocks[kind]["optimiser"]["batch"] if kind in blocks else gpus
    if batch % gpus:
        raise InputError(f"methods.{name} on data.{data}: {gpus} GPUs cannot share {kind}.optimiser.batch ({batch}) evenly: change either")
    return Method(name, config.methods[name].title or name.upper(), kind, parent, blocks, gpus)


def _chain(config: Config, name: str) -> list[tuple[str, Recipe]]:
    chain: list[tuple[str, Recipe]] = []
    at: str | None = name
    while at is not None:
        if at not in config.methods:
            raise InputError(f"methods.{chain[-1][0]}.from: no method {at}{nearest(at, config.methods)}" if chain else f"no method {at}")
        if at in [link for link, _ in chain]:
            raise InputError(f"methods.{name}.from: the chain comes back to {at}")
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


def _check_references(config: Config, source: str) -> None:
    """Names that one part of the file uses and another defines."""
    for needed in ("data", "methods"):
        if not getattr(config, needed):
            raise InputError(f"{source}: {needed} is empty: add at least one block under it (docs/configuration.md)")
    if len(set(config.seeds)) < len(config.seeds):
        raise InputError(f"{source}: seeds {list(config.seeds)}: one stands twice")
    for name in config.methods:
        if not re.fullmatch(r"[a-z][a-z0-9_.]*", name):
            raise InputError(
                f"{source}: methods.{name}: a name is a folder: lower-case letters, digits, _ and . only, starting with a letter"
            )
    for data, block in config.data.items():
        if not re.fullmatch(r"[a-z][a-z0-9_]*", data):
            raise InputError(f"{source}: data.{data}: a name is a folder: lower-case letters, digits and _ only, starting with a letter")
        for name in block.settings:
            if name not in BLOCKS:
                raise InputError(f"{source}: unknown key data.{data}.settings.{name}{nearest(name, BLOCKS)}")
        described = dataset(config, data)
        known = described.splits
        if block.ingest_jobs == "setup" and described.setups is None:
            raise InputError(f"{source}: data.{data}.ingest_jobs is setup, but {block.dataset}.yaml names no setups: set it to one")
        if odd := [split for split in known if not re.fullmatch(r"[a-z0-9]+", split)]:
            raise InputError(
                f"{source}: data.{data}: split {odd[0]} of {block.dataset}.yaml: a name is part of a folder: lower-case letters and digits only"
            )
        for split in block.splits:
            if split not in known:
                raise InputError(f"{source}: data.{data}.splits: no split {split}{nearest(split, known)}")
        for name in config.methods:
            method(config, data, name)
    _check_figures(config, source)


def _check_figures(config: Config, source: str) -> None:
    if config.fig6.k not in config.knn.k:
        raise InputError(f"{source}: fig6.k is {config.fig6.k}, but knn.k is {list(config.knn.k)}: add it there")
    named = [("fig6.method", config.fig6.method)] if config.fig6.method else []
    for where, block in (("table1", config.table1), ("table2", config.table2), ("fig4", config.fig4)):
        named += [(f"{where}.methods", name) for name in block.methods or ()]
    for where, name in named:
        if name not in config.methods:
            raise InputError(f"{source}: {where}: no method {name}{nearest(name, config.methods)}")
    for where, figure in (("fig4", config.fig4), ("fig6", config.fig6)):
        if figure.data is not None and figure.data not in config.data:
            raise InputError(f"{source}: {where}.data: no data set {figure.data}{nearest(figure.data, config.data)}")
        splits = config.data[figure.data or next(iter(config.data))].splits if config.data else ()
        if figure.split is not None and figure.split not in splits:
            raise InputError(f"{source}: {where}.split: no split {figure.split}{nearest(figure.split, splits)}")


def tag(config: Config, name: str, seed: int) -> str:
    """Folder of a method trained with `seed`: its name for the first seed, else name-seedN."""
    return name if seed == config.seeds[0] else f"{name}-seed{seed}"


def untag(config: Config, folder: str) -> tuple[str, int]:
    """Inverse of `tag`."""
    name, found, seed = folder.partition("-seed")
    return name, int(seed) if found else config.seeds[0]


def stage_settings(config: Config, stage: str, data: str, folder: str = "", split: str = "") -> dict[str, Any]:
    """What `stage` is told for this data set, split and method folder: plain data, nothing that the stage does not read."""
    block = config.data[data]
    if stage == "simulate":
        return SimulateStage.of(dataset(config, data), block.simulate or Simulate()).model_dump(mode="json")
    if stage in ("ingest", "join"):
        layout = Layout.of(dataset(config, data))
        return {"name": data, "dataset": layout.model_dump(mode="json"), "ingest": block.ingest.model_dump(mode="json")}
    if stage == "split":
        return {"name": split, "split": dataset(config, data).splits[split].model_dump(mode="json")}
    name, seed = untag(config, folder)
    recipe = method(config, data, name)
    blocks = recipe.blocks
    if stage in ("scratch", "pretrain", "tune"):
        needs = {"scratch": ("model",), "pretrain": ("model", "pretrain"), "tune": ("tune",)}[stage]
        return {"seed": seed, **{need: blocks[need] for need in needs}}
    if stage == "embed":
        return {"embed": blocks["embed"], "outputs": list(recipe.outputs)}
    if stage == "knn":
        return {"knn": blocks["knn"], "outputs": list(recipe.outputs)}
    return {"seed": seed, "linear": blocks["linear"], "embed": blocks["embed"]}


def as_argument(settings: Mapping[str, Any]) -> str:
    """Settings as one line of JSON with sorted keys: what a rule's params hold and `--settings` takes."""
    return json.dumps(settings, sort_keys=True, ensure_ascii=False)
