"""Resolve a method's `train`: its objective's settings and views, and its networks. Imports their files, and thereby
torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stars import plugins
from stars.config import Chosen, Config, Train
from stars.config.reading import merge, validate
from stars.errors import InputError, shown

TRANSFORMER = "transformer"


def model(config: Config, backbone: str, given: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Settings of a backbone, with a method's differences applied."""
    from stars import backbones

    found = backbones.find(backbone, f"{where}: backbone")
    below = config.model.model_dump() if backbone == TRANSFORMER else config.backbones.get(backbone, {})
    return validate(found.Options, merge(below, given), where, "model").model_dump(mode="json")


def resolved(
    config: Config, block: Mapping[str, Any], given: Mapping[str, Any], backbone: str | None, where: str
) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """The block `train` with all of the objective's settings and views, and the networks by name: `backbone` and
    `model` of each.

    Args:
        given: differences in the settings of each network; backbone: of a method that trains one network.

    Raises InputError for an unknown objective, for settings that it lacks, and for a backbone that it cannot train.
    """
    from stars import objectives
    from stars.views.spec import ViewSpec

    train = Train.model_validate(block)
    found = objectives.find(train.objective, f"{where}: train.objective")
    options = validate(found.Options, train.options, where, "train.options")
    if wrong := train.options.keys() & set(found.only_tuning):
        raise InputError(f"{where}: train.options.{min(wrong)} applies only to stage 2: give train.views instead")
    views = {**found.views, **train.views}
    if unknown := train.views.keys() - found.views.keys():
        raise InputError(
            f"{where}: train.views.{min(unknown)}: {train.objective} has no such view; its views are"
            f" {', '.join(found.views) or 'cut by the objective itself'}"
        )
    for name, items in views.items():
        ViewSpec.of(items, f"{where}: train.views.{name}")
    chosen = {
        name: Chosen(backbone=backbone or one.backbone, model=dict(one.model)) for name, one in found.networks.items()
    }
    if train.networks and found.networks and train.networks.keys() != found.networks.keys():
        raise InputError(
            f"{where}: train.networks: {train.objective} trains {', '.join(found.networks)}, not"
            f" {', '.join(train.networks)}"
        )
    chosen = train.networks or chosen or {"encoder": Chosen(backbone=backbone or TRANSFORMER)}
    networks: dict[str, dict[str, Any]] = {}
    for name, one in chosen.items():
        _check_need(found.needs, one.backbone, train.objective, where)
        networks[name] = {
            "backbone": one.backbone,
            "model": model(config, one.backbone, merge(one.model, given), where),
        }
    told = {
        **train.model_dump(mode="json"),
        "options": options.model_dump(mode="json"),
        "views": {name: list(v) for name, v in views.items()},
    }
    del told["networks"]
    return told, networks


def _check_need(needs: str, backbone: str, objective: str, where: str) -> None:
    from stars import backbones
    from stars.backbones.base import Backbone

    found = backbones.find(backbone, f"{where}: backbone")
    if needs == "features" or needs == backbone or (needs == "grid" and found.grid is not Backbone.grid):
        return
    if needs not in ("grid", *plugins.known("backbones")):
        raise InputError(
            f"{where}: {objective}: `needs` must be features, grid or a backbone, found {shown(needs)}: correct it in"
            " its file"
        )
    asked = "features by time and joint" if needs == "grid" else f"the backbone {needs}"
    raise InputError(
        f"{where}: {objective} needs {asked}, which {backbone} does not provide: choose another backbone or objective"
    )


def check_strategy(strategy: str, backbone: str, where: str) -> None:
    """InputError for a loss that cannot tune this backbone."""
    from stars import objectives

    found = objectives.find(strategy, f"{where}: tune.strategy")
    if len(found.networks) > 1:
        raise InputError(
            f"{where}: tune.strategy: {strategy} trains {', '.join(found.networks)} together, but `tune` has only one"
            " network: use `train`"
        )
    _check_need(found.needs, backbone, strategy, where)


def compared(block: Mapping[str, Any], where: str, key: str = "train") -> tuple[str, ...]:
    """Heads whose outputs KNN may compare, according to the objective's settings."""
    from stars import objectives
    from stars.objectives.base import compared_heads

    named = "objective" if key == "train" else "strategy"
    options = validate(
        objectives.find(block["objective"], f"{key}.{named}").Options, block["options"], where, f"{key}.options"
    )
    return compared_heads(options, f"{where}: {block['objective']}")
