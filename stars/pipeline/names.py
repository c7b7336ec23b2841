"""Names that one part of a configuration uses and another defines: methods, data sets, splits, targets."""

from __future__ import annotations

import re
from collections.abc import Iterable

from stars.config import Comparison, Config, Hyperparameters, Report
from stars.config.paper import FIGURES, TABLES, Figure
from stars.config.reading import nearest
from stars.errors import InputError
from stars.pipeline.descriptions import dataset, stored
from stars.pipeline.resolve import BLOCKS, finetune_block

PROTOCOLS = ("linear", "knn", "finetune", "semi", "transfer", "few_shot")


def check_names(config: Config, source: str) -> None:
    """Names that one part of the file uses and another defines."""
    for needed in ("data", "methods"):
        if not getattr(config, needed):
            raise InputError(f"{source}: {needed} is empty: add at least one block under it (docs/configuration.md)")
    if len(set(config.seeds)) < len(config.seeds):
        raise InputError(f"{source}: seeds {list(config.seeds)} contains a duplicate: give each seed once")
    for name in config.methods:
        if not re.fullmatch(r"[a-z][a-z0-9_.]*", name):
            raise InputError(
                f"{source}: methods.{name}: a method's name is a folder name: use only lower-case letters, digits, _"
                " and ., starting with a letter"
            )
    for data, block in config.data.items():
        if not re.fullmatch(r"[a-z][a-z0-9_]*", data):
            raise InputError(
                f"{source}: data.{data}: a data set's name is a folder name: use only lower-case letters, digits and _,"
                " starting with a letter"
            )
        for name in block.settings:
            if name not in BLOCKS:
                raise InputError(f"{source}: unknown key data.{data}.settings.{name}{nearest(name, BLOCKS)}")
        described = stored(config, data)
        known = described.splits
        if block.ingest_jobs == "setup" and described.setups is None:
            raise InputError(
                f"{source}: data.{data}.ingest_jobs is setup, but {block.dataset}.yaml lists no setups: set it to one"
            )
        if odd := [split for split in known if not re.fullmatch(r"[a-z0-9]+", split)]:
            raise InputError(
                f"{source}: data.{data}: split {odd[0]} of {block.dataset}.yaml: a split's name is part of a folder"
                " name: use lower-case letters and digits"
            )
        for split in block.splits:
            if split not in known:
                raise InputError(f"{source}: data.{data}.splits: no split {split}{nearest(split, known)}")
        for name in config.methods:
            for protocol in ("finetune", "semi", "transfer"):
                finetune_block(config, protocol, data, name)
    _check_pairs(config, source)
    _check_figures(config, source)
    _check_targets(config, source)


def _check_targets(config: Config, source: str) -> None:
    known = targets(config)
    for name in config.targets:
        if name not in known:
            raise InputError(f"{source}: targets: no target {name}{nearest(name, known)}")


def targets(config: Config) -> tuple[str, ...]:
    """Names of targets (workflow/rules/targets.smk defines what each makes)."""
    drawn = (
        *(f"table{number}" for number in TABLES),
        *FIGURES,
        "curves",
        "claims",
        "comparison",
        "quality",
        "report",
        *config.tables,
    )
    return (*drawn, "all", "quickstart", *PROTOCOLS, *config.protocols)


def _check_pairs(config: Config, source: str) -> None:
    for pair in (*config.transfer.pairs, *config.few_shot.pairs):
        where = f"{source}: {'transfer' if pair in config.transfer.pairs else 'few_shot'}.pairs"
        for data, split in ((pair.source, pair.source_split), (pair.target, pair.target_split)):
            if data not in config.data:
                raise InputError(f"{where}: no data set {data}{nearest(data, config.data)}")
            known = dataset(config, data).splits
            if split is not None and split not in known:
                raise InputError(f"{where}: no split {split} of {data}{nearest(split, known)}")
        if stored(config, pair.source).joints != stored(config, pair.target).joints:
            raise InputError(
                f"{where}: {pair.source} and {pair.target} do not have the same joints in the same order: set"
                " ingest.joints of both to common"
            )
    for pair in config.few_shot.pairs:
        if not dataset(config, pair.target).novel:
            raise InputError(
                f"{source}: few_shot.pairs: {config.data[pair.target].dataset}.yaml lists no novel actions: add `novel`"
            )


def _check_figures(config: Config, source: str) -> None:
    for where, k in (("fig3.k", config.fig3.k), ("fig6.k", config.fig6.k)):
        if k not in config.knn.k:
            raise InputError(f"{source}: {where} is {k}, but knn.k is {list(config.knn.k)}: add it there")
    _known(f"{source}: fig6", "method", [config.fig6.method], config.methods)
    runs = [f"{data}_{split}" for data, block in config.data.items() for split in block.splits]
    for name, block in config:
        if isinstance(block, Comparison | Figure | Hyperparameters | Report):
            where, asked = f"{source}: {name}", block.model_dump()
            data = asked.get("data") or next(iter(config.data))
            _known(where, "method", asked.get("methods") or (), config.methods)
            _known(where, "run", asked.get("runs") or (), runs)
            _known(where, "data set", [data], config.data)
            _known(where, "split", [asked.get("split")], config.data[data].splits)


def _known(where: str, what: str, names: Iterable[str | None], known: Iterable[str]) -> None:
    """InputError for the first of `names` that is not known; None is ignored."""
    for name in names:
        if name is not None and name not in known:
            raise InputError(f"{where}: no {what} {name}{nearest(name, known)}")
