"""The configuration's settings for the job of a record, identified by the record's path (docs/files.md)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from stars.config import Config, Knn, Settings, Shots, Tune
from stars.config.reading import merge, read_yaml
from stars.errors import InputError
from stars.paper import sources
from stars.pipeline import configuration, plugin_results
from stars.pipeline.stages import ACROSS, METHOD, RUN, STAGES

PLACES = {place: stage.name for stage in reversed(STAGES.values()) for place in stage.places} | {
    rf"{METHOD}/transfer/{ACROSS}/record\.json": "transfer",
    r"(?P<data>\w+)/quality/record\.json": "inspect",
    rf"{METHOD}/(?P<own>\w+)/record\.json": "protocol",
    rf"{RUN}/curves\.record\.json": "curves",
    rf"{RUN}/comparison\.record\.json": "comparison",
    r"report/record\.json": "report",
    r"claims/record\.json": "claims",
    r"tables/table(?P<number>\d+)\.record\.json": "table",
    rf"figures/(?P<name>{'|'.join(sources.FIGURES)})\.record\.json": "figure",
    r"tables/(?P<own>\w+)\.record\.json": "own table",
}
MADE = PLACES[rf"{METHOD}/record\.json"]  # one place for all stages that create a method's encoder
DRAWN = ("curves", "comparison", "report", "claims", "table", "own table", "figure")

LEFT_OUT: dict[str, dict[str, Any]] = {
    "scratch": {"parents": [], "backbone": configuration.TRANSFORMER},
    "pretrain": {"parents": []},
    "tune": {"mirror": [], "stem": False},
    "network": {"first": False},
}  # part of the settings only if the stage reads it


# blocks with keys that are missing in older records
GREW: dict[str, type[Settings]] = {"tune": Tune, "knn": Knn, "few_shot": Shots}


def made_by_hand(path: Path) -> bool:
    """Whether no rule writes a record at `path` (relative to the results folder), as for a clip's picture or
    converted weights.
    """
    return place_of(path) is None


def settings(config: Config, path: Path) -> dict[str, Any] | None:
    """Settings of the job that writes the record at `path` (relative to the results folder); None if the
    configuration has no such job.
    """
    stage, names = place_of(path) or ("", {})
    data, split = names.get("data"), names.get("split")
    if data is not None and data not in config.data:
        return None
    if split is not None and split not in configuration.dataset(config, str(data)).splits:
        return None
    found = _drawing(config, stage, names) if stage in DRAWN else _stage(config, stage, names)
    return None if found is None else json.loads(configuration.as_argument(found))


def completed(settings: Mapping[str, Any], today: Mapping[str, Any]) -> dict[str, Any] | None:
    """Settings of an older record, completed with missing keys from `preset: legacy`; None if none is missing.

    Missing whole blocks, such as novel actions, are taken from `today`. None also if a block is no longer valid.
    """
    legacy = read_yaml(configuration.find("presets", "legacy", "preset"))
    full: dict[str, Any] = {**{name: block for name, block in today.items() if name not in settings}, **settings}
    for name, block in GREW.items():
        if name in settings:
            try:
                typed = block.model_validate(merge(legacy.get(name, {}), settings[name]))
            except ValidationError:
                return None
            full[name] = typed.read() if isinstance(typed, Tune) else typed.model_dump(mode="json")
    return None if full == settings else full


def place_of(path: Path) -> tuple[str, dict[str, str]] | None:
    """Stage and named parts of a record's path."""
    for form, stage in PLACES.items():
        if found := re.fullmatch(form, path.as_posix()):
            return stage, {name: value for name, value in found.groupdict().items() if value is not None}
    return None


def _drawing(config: Config, stage: str, names: Mapping[str, str]) -> dict[str, Any] | None:
    if stage == "own table":
        return plugin_results.table(config, names["own"])[0] if names["own"] in config.tables else None
    if stage == "table":
        number = int(names["number"])
        return sources.table(config, number).settings if number in sources.TABLES else None
    if stage == "figure":
        return sources.figure(config, names["name"]).settings
    if stage in ("report", "claims"):
        return {"report": sources.report, "claims": sources.claims}[stage](config).settings
    drawn = {"curves": sources.curves, "comparison": sources.comparison}[stage]
    return drawn(config, names["data"], names["split"]).settings


def _stage(config: Config, stage: str, names: Mapping[str, str]) -> dict[str, Any] | None:
    data, folder = names["data"], names.get("folder", "")
    target, target_split = names.get("target", data), names.get("target_split")
    if target not in config.data or (target_split and target_split not in configuration.dataset(config, target).splits):
        return None
    if folder:
        name, seed = configuration.untag(config, folder)
        if name not in config.methods or seed not in config.seeds:
            return None
        kind = configuration.method(config, data, name).kind
        if kind == "ensemble" and stage in ("linear", "finetune"):
            names, stage = {**names, "variant": stage}, "ensemble_scores"
        elif stage == MADE or (stage == "embed" and kind in ("joints", "ensemble")):
            stage = kind
    if stage == "protocol":
        return plugin_results.protocol_settings(config, names["own"]) if names["own"] in config.protocols else None
    try:
        found = configuration.stage_settings(
            config, stage, target, folder, names.get("split", ""), names.get("variant", "")
        )
    except (InputError, ValueError):  # a folder that only resembles one of the workflow's
        return None
    return LEFT_OUT.get(stage, {}) | found
