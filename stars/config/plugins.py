"""Settings of plugin protocols and plugin tables (docs/extending.md)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from stars.config.base import Settings, key
from stars.config.reading import nearest
from stars.errors import InputError

PLAIN = ("knn", "linear", "finetune")  # protocols with results in {data}_{split}/{method}/{protocol}
TAKEN = (
    *PLAIN,
    "semi",
    "transfer",
    "few_shot",
    "features",
    "all",
    "quickstart",
    "curves",
    "quality",
    "comparison",
    "claims",
    "report",
)
JOBS = (  # rules of the workflow; a plugin cannot have these names
    "targets", "unknown_target", "simulate", "ingest", "ingest_setup", "join", "split", "scratch", "pretrain", "tune", "train", "network",
    "embed", "joints", "ensemble", "subsets", "exemplars", "map", "inspect", "table", "report_page", "comparison_page", "judge_claims",
    "plugin_protocol", "plugin_table",
)  # fmt: skip
PREFIXES = ("embed_", "joints_", "ensemble_", "evaluate_", "draw_", "linear_of_", "finetune_of_")  # of further rules


class PluginProtocol(Settings):
    """A plugin protocol: plugins/protocols/NAME.py."""

    methods: tuple[str, ...] | None = key(None, "methods to evaluate; null: all")
    runs: tuple[str, ...] | None = key(
        None, "splits to evaluate on, as {data}_{split}; null: all splits of data sets whose `protocols` is not empty"
    )
    options: dict[str, Any] = key({}, "settings that its file defines")


class PluginTable(Settings):
    """A plugin table: plugins/tables/NAME.py."""

    protocol: str = key(..., "protocol whose results it shows: knn, linear, finetune or a plugin protocol")
    title: str = key("", "title; empty: its name")
    methods: tuple[str, ...] | None = key(None, "methods to show, in this order; null: all that the protocol evaluates")
    runs: tuple[str, ...] | None = key(
        None, "splits that they were trained on, as {data}_{split}; null: all that the protocol evaluates"
    )
    options: dict[str, Any] = key({}, "settings that its file defines")


def check(
    protocols: Mapping[str, PluginProtocol],
    tables: Mapping[str, PluginTable],
    methods: Iterable[str],
    runs: Iterable[str],
) -> None:
    """Raise InputError for the first name that is already in use, has no file, or is undefined.

    Args:
        methods: names of all methods; runs: of all {data}_{split}.
    """
    for name in protocols:
        _check_name("protocols", name, TAKEN)
    for name, table in tables.items():
        _check_name("tables", name, (*TAKEN, *protocols))
        _known(f"tables.{name}.protocol", [table.protocol], (*PLAIN, *protocols))
    for kind, blocks in (("protocols", protocols), ("tables", tables)):
        for name, block in blocks.items():
            _known(f"{kind}.{name}.methods", block.methods, methods)
            _known(f"{kind}.{name}.runs", block.runs, runs)


def _check_name(kind: str, name: str, taken: Iterable[str]) -> None:
    where = f"{kind}.{name}"
    if not re.fullmatch(r"[a-z][a-z_]*", name) or name in (*taken, *JOBS) or name.startswith(PREFIXES):
        raise InputError(f"{where}: choose an unused name of lower-case letters and _")
    if not (Path("plugins") / kind / f"{name}.py").is_file():
        raise InputError(f"{where}: no file plugins/{kind}/{name}.py: create it as docs/extending.md shows")


def _known(where: str, names: Iterable[str] | None, known: Iterable[str]) -> None:
    for name in names or ():
        if name not in known:
            raise InputError(f"{where}: unknown {name}{nearest(name, known)}")
