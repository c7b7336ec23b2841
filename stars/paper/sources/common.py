"""What tables and figures have in common: which methods and runs they show, and how these are called."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from stars.config import Config
from stars.config.paper import Figure
from stars.pipeline import configuration, layout
from stars.pipeline.resolve import TRAINED

HYPERPARAMETERS = (8, 10)  # the tables that hold settings
QUICKSTART = ("table1", "table2", "fig4", "fig6", "curves")


@dataclass(frozen=True)
class Drawing:
    """What a table or figure is told: settings of its stage, and role → file of what it reads."""

    settings: dict[str, Any]
    files: dict[str, str]


def methods(
    config: Config, chosen: tuple[str, ...] | None, protocol: str | None = None, table: int = 1
) -> tuple[str, ...]:
    """`chosen`, or all methods of a table, those that a protocol evaluates where one is needed, but those that say
    that they stand elsewhere.
    """
    if chosen is not None:
        return chosen
    shown = (name for name, recipe in config.methods.items() if recipe.tables is None or table in recipe.tables)
    return tuple(name for name in shown if protocol is None or name in layout.evaluated(config, protocol))


def runs(config: Config, chosen: tuple[str, ...] | None, protocol: str) -> list[tuple[str, str]]:
    """The (data, split) that `chosen` names as {data}_{split}, or all that this protocol evaluates."""
    every = {f"{data}_{split}": (data, split) for data, split in layout.every_run(config)}
    return layout.runs(config, protocol) if chosen is None else [every[name] for name in chosen]


def place(config: Config, figure: Figure) -> tuple[str, str]:
    """The (data, split) that a figure draws."""
    data = figure.data or next(iter(config.data))
    return data, figure.split or config.data[data].splits[0]


def titles(config: Config, data: str, split: str) -> dict[str, str]:
    """Names of a data set and its split."""
    described = configuration.dataset(config, data)
    return {"data_title": described.title, "split_title": described.splits[split].title}


def title(config: Config, data: str, name: str) -> str:
    """A method's name."""
    return configuration.method(config, data, name).title


STREAMS = {1: "Single-stream", 2: "Two-stream", 3: "Three-stream"}
BACKBONES = {
    "transformer": "Transformer",
    "st_gcn": "ST-GCN",
    "agcn": "2s-AGCN",
    "bi_gru": "GRU",
    "hcn": "HCN",
    "hico": "Transformer",
    "hi_trs": "Transformer",
    "sttformer": "STTFormer",
}


def kind(config: Config, data: str, name: str) -> dict[str, str]:
    """What the columns Input and Backbone say of a method."""
    found = configuration.method(config, data, name)
    members = [configuration.method(config, data, member) for member in found.members] or [found]
    backbones = dict.fromkeys(BACKBONES.get(one.backbone, one.backbone) for one in members)
    return {"input": STREAMS.get(len(members), f"{len(members)} streams"), "backbone": ", ".join(backbones)}


def rehearsal(config: Config, data: str, name: str) -> bool:
    """Whether a training behind a method's results, or a probe of it, ends early, at `max_steps`."""
    behind = [name, *configuration.trainings(config, data, name)]
    return any(_capped(configuration.method(config, data, one).blocks) for one in behind)


def _capped(block: Mapping[str, Any]) -> bool:
    return any(
        _capped(value) if isinstance(value, Mapping) else name == "max_steps" and value is not None
        for name, value in block.items()
    )


def has_curve(config: Config, data: str, name: str) -> bool:
    """Whether a method has a training curve of its own; one of a training's networks has not: the training's is its
    curve.
    """
    return configuration.method(config, data, name).kind in TRAINED


def panels(config: Config, data: str, names: Iterable[str]) -> list[dict[str, str]]:
    """Methods with their names, in order."""
    return [{"method": name, "title": title(config, data, name)} for name in names]


def counts(config: Config, data: str, split: str, novel: bool = False) -> tuple[int, int] | None:
    """Training and test clips of the paper's own complete data, or of its novel classes; None where the paper does
    not report on it.
    """
    described = configuration.stored(config, data)
    of = described.splits[split]
    return (of.novel_counts if novel else of.counts) if described.published else None
