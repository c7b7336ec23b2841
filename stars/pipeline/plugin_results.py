"""Plugin protocols and tables: the results they need, and the settings of their jobs. Does not import their files."""

from __future__ import annotations

from itertools import product
from typing import Any, NamedTuple

from stars.config import Config
from stars.pipeline import configuration, layout


class Place(NamedTuple):
    """One result of a protocol: data set, split, method and seed."""

    data: str
    split: str
    method: str
    seed: int


def places(config: Config, protocol: str) -> list[Place]:
    """Every result of a built-in or plugin protocol, in the order of the configuration."""
    if protocol in config.protocols:
        block = config.protocols[protocol]
        runs = (
            layout.runs(config)
            if block.runs is None
            else [run for run in layout.every_run(config) if "_".join(run) in block.runs]
        )
        methods = tuple(config.methods) if block.methods is None else block.methods
    else:
        runs, methods = layout.runs(config, protocol), layout.evaluated(config, protocol)
    return [Place(*run, method, seed) for run, method, seed in product(runs, methods, config.seeds)]


def results(config: Config, protocol: str) -> list[str]:
    """metrics.json of every result of a plugin protocol."""
    return [_metrics(config, place, protocol) for place in places(config, protocol)]


def protocol_settings(config: Config, name: str) -> dict[str, Any]:
    """Settings of a job of a plugin protocol."""
    return {"name": name, "options": config.protocols[name].options}


def table(config: Config, name: str) -> tuple[dict[str, Any], dict[str, str]]:
    """Settings of a plugin table, and role → metrics.json of the results it reads."""
    block = config.tables[name]
    had = places(config, block.protocol)
    methods = block.methods or tuple(dict.fromkeys(place.method for place in had))
    shown = [
        one
        for method in methods
        for one in had
        if one.method == method and (block.runs is None or f"{one.data}_{one.split}" in block.runs)
    ]
    titles = {(one.data, one.method): configuration.method(config, one.data, one.method).title for one in shown}
    told = [{**one._asdict(), "title": titles[one.data, one.method]} for one in shown]
    files = {f"{one.data}_{one.split}/{one.method}/{one.seed}": _metrics(config, one, block.protocol) for one in shown}
    return {"name": name, "title": block.title or name, "options": block.options, "results": told}, files


def _metrics(config: Config, place: Place, protocol: str) -> str:
    return f"{layout.method(config, *place)}/{protocol}/metrics.json"
