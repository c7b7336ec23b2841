"""From one configuration file to the settings of each stage: merging, validation, and the chain of `from:`.

Precedence, weakest first: defaults in `stars.config` · the preset · the methods of `recipes` · the preset's methods ·
the file · `data.<name>.settings` · the recipe's chain, parent first.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from stars import shipped
from stars.config import Config, Shots, Simulate, plugins
from stars.config.reading import merge, nearest, parse_yaml, read_yaml, validate
from stars.data.readers import Layout
from stars.data.simulate.stage import SimulateStage
from stars.errors import InputError
from stars.pipeline.descriptions import dataset as dataset
from stars.pipeline.descriptions import find as find
from stars.pipeline.descriptions import stored as stored
from stars.pipeline.names import PROTOCOLS as PROTOCOLS
from stars.pipeline.names import check_names
from stars.pipeline.names import targets as targets
from stars.pipeline.once import once as once
from stars.pipeline.resolve import TRANSFORMER as TRANSFORMER
from stars.pipeline.resolve import Across as Across
from stars.pipeline.resolve import Method, finetune_block, method, untag
from stars.pipeline.resolve import pairs as pairs
from stars.pipeline.resolve import tag as tag
from stars.pipeline.resolve import trainings as trainings


def load(given: Mapping[str, Any], source: str = "configuration") -> Config:
    """Check a mapping (from a file, or merged by Snakemake) against all settings, after applying it over its preset
    and recipes.
    """
    preset: dict[str, Any] = {}
    for name in str(given.get("preset", "paper")).split("+"):
        preset = merge(preset, read_yaml(find("presets", name, f"{source}: preset")))
    used = given.get("data") or {}
    if isinstance(used, Mapping):
        given = {**given, "data": {data: _alike(used, data, source) for data in used}}
    catalogue: dict[str, Any] = {}
    for name in str(given.get("recipes") or "").split("+"):
        catalogue = merge(catalogue, read_yaml(find("recipes", name, f"{source}: recipes")) if name else {})
    named = {**(catalogue.get("methods") or {}), **_mapping(given.get("methods"))}
    _check_catalogue(catalogue, named, f"{source}: recipes: {given.get('recipes')}")
    described = {
        data: block.get("dataset") if isinstance(block, Mapping) else None
        for data, block in _mapping(given.get("data")).items()
    }
    preset = {
        **preset,
        "data": {data: preset["data"][name] for data, name in described.items() if name in preset.get("data", {})},
    }
    catalogue = merge(catalogue, {"methods": changed} if (changed := _only(preset.pop("methods", None), named)) else {})
    config = validate(Config, merge(_defaults(), merge(preset, merge(catalogue, given))), source)
    check_names(config, source)
    plugins.check(
        config.protocols,
        config.tables,
        config.methods,
        [f"{data}_{split}" for data, one in config.data.items() for split in one.splits],
    )
    return config


def _check_catalogue(catalogue: Mapping[str, Any], named: Mapping[str, Any], where: str) -> None:
    """InputError if recipes build on a method that is not `named`, neither in them nor in the configuration."""
    for name, block in _mapping(catalogue.get("methods")).items():
        for key in ("from", "starts", "heads"):
            if (other := block.get(key)) and other not in named:
                raise InputError(
                    f"{where}: methods.{name}.{key} is {other}, which is not among these recipes: join it with others,"
                    " as in paper+methods"
                )


def _only(blocks: Mapping[str, Any] | None, names: Any) -> dict[str, Any]:
    """The methods of a preset that the configuration contains."""
    return {name: block for name, block in (blocks or {}).items() if name in names}


def _mapping(given: Any) -> Mapping[str, Any]:
    return given if isinstance(given, Mapping) else {}


def _alike(blocks: Mapping[str, Any], data: str, source: str) -> Any:
    """A block under `data`, applied over the files of the one that it is `like`."""
    block = blocks[data]
    name = block.get("like") if isinstance(block, Mapping) else None
    if name is None:
        return block
    if not isinstance(name, str) or not isinstance(blocks.get(name), Mapping) or blocks[name].get("like"):
        known = [other for other, one in blocks.items() if isinstance(one, Mapping) and not one.get("like")]
        raise InputError(
            f"{source}: data.{data}.like: no data set {name} with its own files{nearest(str(name), known)}"
        )
    taken = ("dataset",) if {"raw", "simulate"} & block.keys() else ("dataset", "raw", "simulate")
    return {**{key: blocks[name][key] for key in taken if key in blocks[name]}, **block}


def _defaults() -> dict[str, Any]:
    """All defaults as plain data, so that a file with one key of a block keeps the block's other defaults."""
    return Config().model_dump(mode="json", exclude={"data", "methods"})


def load_file(path: Path | str, overrides: Iterable[str] = ()) -> Config:
    """The configuration in `path`, or in merged files "a.yaml+b.yaml", with `overrides` such as
    "tune.optimiser.lr=1e-3".
    """
    given: dict[str, Any] = {}
    for file in files(path):
        given = merge(given, read_yaml(file))
    overrides = list(overrides)
    above = merge(given, overriding(overrides))
    return load_over(given, above, str(path), " ".join(f"--set {override}" for override in overrides))


def overriding(overrides: Iterable[str], option: str = "--set") -> dict[str, Any]:
    """Overrides such as "tune.optimiser.lr=1e-3", given with `option`, as a configuration; InputError for one that is
    not key=value.
    """
    above: dict[str, Any] = {}
    for override in overrides:
        names, found, text = override.partition("=")
        if not found or "" in names.split("."):
            raise InputError(f"{option} {override}: expected key=value, e.g. tune.optimiser.lr=1e-3")
        value = parse_yaml(text, f"{option} {override}")
        for name in reversed(names.split(".")):
            value = {name: value}
        above = merge(above, value)
    return above


def files(path: Path | str) -> list[str]:
    """The files in "a.yaml+b.yaml", like `--configfile a.yaml b.yaml`: in the working directory, otherwise those of
    the package.
    """
    whole = Path(path).exists() or shipped.found(path).exists()
    return [str(shipped.found(file)) for file in ([path] if whole else str(path).split("+"))]


def load_over(given: Mapping[str, Any], above: Mapping[str, Any], source: str, added: str) -> Config:
    """Check `above`: `given`, from `source`, with overrides from `added`. Errors name `added` if `source` alone is
    valid.
    """
    try:
        return load(above, source)
    except InputError as error:
        fault = error
    try:
        load(given, source)
    except InputError:
        raise fault from None
    return load(above, added or source)


OF_DATA = ("simulate", "ingest", "join", "split", "subsets", "exemplars", "inspect")  # stages that read no method


def stage_settings(
    config: Config, stage: str, data: str, folder: str = "", split: str = "", variant: str = ""
) -> dict[str, Any]:
    """Settings of `stage` for this data set, split and method folder: plain data, only what the stage reads.

    Args:
        data: data set whose clips it reads; for transfer and few-shot that is the target.
        variant: fraction of the semi-supervised protocol, shots of few-shot exemplars; "": the first.
    """
    if stage in OF_DATA:
        return _of_data(config, stage, data, split, variant)
    return _of_method(config, stage, data, folder, variant)


def _of_data(config: Config, stage: str, data: str, split: str, variant: str) -> dict[str, Any]:
    """Settings of a stage that reads no method."""
    block = config.data[data]
    if stage == "simulate":
        return SimulateStage.of(dataset(config, data), block.simulate or Simulate()).model_dump(mode="json")
    if stage in ("ingest", "join"):
        layout = Layout.of(dataset(config, data))
        return {"name": data, "dataset": layout.model_dump(mode="json"), "ingest": block.ingest.model_dump(mode="json")}
    if stage == "split":
        return {"name": split, "split": dataset(config, data).splits[split].model_dump(mode="json")}
    if stage == "subsets":
        return {"fraction": float(variant or config.semi.fractions[0]), "subsets": config.semi.subsets}
    if stage == "exemplars":
        shots, novel = int(variant or config.few_shot.shots[0]), list(dataset(config, data).novel)
        return {"shots": shots, "draws": config.few_shot.draws, "novel": novel}
    described, settings = stored(config, data).model_dump(mode="json"), config.inspect.model_dump(mode="json")
    return {"name": data, "dataset": described, "splits": list(block.splits), "inspect": settings}


def _of_method(config: Config, stage: str, data: str, folder: str, variant: str) -> dict[str, Any]:
    """Settings of a stage of a method's folder."""
    name, seed = untag(config, folder)
    recipe = method(config, data, name)
    blocks = recipe.blocks
    if stage in ("scratch", "pretrain", "tune", "train"):
        needs = {"scratch": ("model",), "pretrain": ("model", "pretrain"), "tune": ("tune",), "train": ("train",)}[
            stage
        ]
        return {"seed": seed, **{need: blocks[need] for need in needs}, **_of_the_networks(config, data, recipe)}
    if stage == "network":
        first = next(iter(method(config, data, str(recipe.parent)).networks))
        return {"network": recipe.network, **({"first": True} if recipe.network == first else {})}
    if stage in ("ensemble", "ensemble_scores"):
        # a list: JSON's keys are sorted
        members = [{"method": one, "weight": weight} for one, weight in recipe.members.items()]
        return {"members": members, **({"protocol": variant} if stage == "ensemble_scores" else {})}
    if stage == "embed":
        return {"embed": blocks["embed"], "outputs": list(recipe.outputs)}
    if stage == "joints":
        return {"joints": blocks["joints"], "root": dataset(config, data).root}
    if stage == "knn":
        return {"knn": blocks["knn"], "outputs": list(recipe.outputs)}
    if stage == "few_shot":
        options = config.few_shot.model_dump(mode="json", include=set(Shots.model_fields))
        return {
            "data": data,
            "novel": list(dataset(config, data).novel),
            "few_shot": options,
            "outputs": list(recipe.outputs),
        }
    if stage == "map":
        return {"seed": seed, **config.report.model_dump(mode="json", include={"points", "neighbours", "perplexity"})}
    if stage == "linear":
        return {"seed": seed, "linear": blocks["linear"], "embed": blocks["embed"]}
    told = {"seed": seed, "finetune": finetune_block(config, stage, data, name)}
    told |= {read: blocks["embed"][read] for read in ("test_crop", "bodies")}
    if stage == "semi":
        return {**told, "fraction": float(variant or config.semi.fractions[0]), "subsets": config.semi.subsets}
    return {**told, "protocol": stage}


def _of_the_networks(config: Config, data: str, recipe: Method) -> dict[str, Any]:
    """Settings of a training besides its block: the skeleton's mirror pairs (for flips) and parents (for bones), and
    its networks.
    """
    described, blocks = stored(config, data), recipe.blocks
    mirror, parents = [list(pair) for pair in described.mirror], list(described.parents)
    if recipe.kind == "train":
        return {
            "networks": [{"name": name, **one} for name, one in recipe.networks.items()],
            "parents": parents,
            "mirror": mirror,
        }
    if recipe.kind == "tune":
        random = method(config, data, str(recipe.parent)).kind == "scratch"
        every = blocks["tune"]["tuned_blocks"] == blocks["model"].get("depth")
        return ({"mirror": mirror} if blocks["tune"]["augment"]["flip"] > 0 else {}) | (
            {"stem": True} if random and every else {}
        )
    told = {} if recipe.backbone == TRANSFORMER else {"backbone": recipe.backbone}
    return told | ({"parents": parents} if told or blocks["model"].get("stream") == "bone" else {})


def as_argument(settings: Mapping[str, Any]) -> str:
    """Settings as one line of JSON with sorted keys, for a rule's params and `--settings`."""
    return json.dumps(settings, sort_keys=True, ensure_ascii=False)
