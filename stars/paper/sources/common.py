"""Common parts of tables and figures: the methods and runs shown, and their titles."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from stars.config import Config
from stars.config.paper import Figure
from stars.pipeline import configuration, layout
from stars.pipeline.resolve import TRAINED

HYPERPARAMETERS = (8, 10)  # tables of settings
QUICKSTART = ("table1", "table2", "fig4", "fig6", "curves")


@dataclass(frozen=True)
class Drawing:
    """Inputs of a table or figure: settings of its stage, and role → file."""

    settings: dict[str, Any]
    files: dict[str, str]


def methods(
    config: Config, chosen: tuple[str, ...] | None, protocol: str | None = None, table: int = 1
) -> tuple[str, ...]:
    """`chosen`, or all methods that do not exclude this table and, if a protocol is given, that it evaluates."""
    if chosen is not None:
        return chosen
    shown = (name for name, recipe in config.methods.items() if recipe.tables is None or table in recipe.tables)
    return tuple(name for name in shown if protocol is None or name in layout.evaluated(config, protocol))


def runs(config: Config, chosen: tuple[str, ...] | None, protocol: str) -> list[tuple[str, str]]:
    """The (data, split) of each {data}_{split} in `chosen`, or all that this protocol evaluates."""
    every = {f"{data}_{split}": (data, split) for data, split in layout.every_run(config)}
    return layout.runs(config, protocol) if chosen is None else [every[name] for name in chosen]


def place(config: Config, figure: Figure) -> tuple[str, str]:
    """The (data, split) that a figure shows."""
    data = figure.data or next(iter(config.data))
    return data, figure.split or config.data[data].splits[0]


def titles(config: Config, data: str, split: str) -> dict[str, str]:
    """Titles of a data set and its split."""
    described = configuration.dataset(config, data)
    return {"data_title": described.title, "split_title": described.splits[split].title}


def title(config: Config, data: str, name: str) -> str:
    """A method's title."""
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
    """A method's cells in the columns Input and Backbone."""
    found = configuration.method(config, data, name)
    members = [configuration.method(config, data, member) for member in found.members] or [found]
    backbones = dict.fromkeys(BACKBONES.get(one.backbone, one.backbone) for one in members)
    return {"input": STREAMS.get(len(members), f"{len(members)} streams"), "backbone": ", ".join(backbones)}


def rehearsal(config: Config, data: str, name: str) -> bool:
    """Whether `max_steps` stops a method's training or protocol early."""
    behind = [name, *configuration.trainings(config, data, name)]
    return any(_capped(configuration.method(config, data, one).blocks) for one in behind)


def _capped(block: Mapping[str, Any]) -> bool:
    return any(
        _capped(value) if isinstance(value, Mapping) else name == "max_steps" and value is not None
        for name, value in block.items()
    )


def has_curve(config: Config, data: str, name: str) -> bool:
    """Whether a method has a training curve; further networks of a joint training have none of their own."""
    return configuration.method(config, data, name).kind in TRAINED


def panels(config: Config, data: str, names: Iterable[str]) -> list[dict[str, str]]:
    """Methods with their titles, in order."""
    return [{"method": name, "title": title(config, data, name)} for name in names]


def counts(config: Config, data: str, split: str, novel: bool = False) -> tuple[int, int] | None:
    """Training and test clips of the paper's complete data, or of its novel classes; None if the paper does not report
    on it.
    """
    described = configuration.stored(config, data)
    of = described.splits[split]
    return (of.novel_counts if novel else of.counts) if described.published else None
