"""Paths of results (docs/files.md)."""

from __future__ import annotations

from itertools import product

from stars.config import Config
from stars.pipeline import configuration


def clips(data: str) -> str:
    """Folder of a clip store."""
    return f"results/{data}/clips"


def run(data: str, split: str) -> str:
    """Folder of everything trained on one split of one data set."""
    return f"results/{data}_{split}"


def every_run(config: Config) -> list[tuple[str, str]]:
    """Every (data, split) of a configuration."""
    return [(data, split) for data, block in config.data.items() for split in block.splits]


def runs(config: Config, protocol: str | None = None) -> list[tuple[str, str]]:
    """Every (data, split) of a configuration that has its own results, of this protocol or of any."""
    wanted = {
        data: bool(block.protocols) if protocol is None else protocol in block.protocols
        for data, block in config.data.items()
    }
    return [(data, split) for data, block in config.data.items() if wanted[data] for split in block.splits]


def evaluated(config: Config, protocol: str) -> tuple[str, ...]:
    """Methods that are evaluated by a protocol."""
    return tuple(
        name for name, recipe in config.methods.items() if recipe.protocols is None or protocol in recipe.protocols
    )


def results(config: Config, protocol: str) -> list[str]:
    """metrics.json of every result of a protocol: data sets or pairs of them, methods, seeds, variants."""
    if protocol in ("transfer", "few_shot"):
        across = configuration.pairs(config, protocol)
        variants = [(run(pair.source, pair.source_split), f"/{pair.target}_{pair.target_split}") for pair in across]
    else:
        ends = [f"/{fraction:g}" for fraction in config.semi.fractions] if protocol == "semi" else [""]
        variants = [(run(data, split), end) for (data, split), end in product(runs(config, protocol), ends)]
    tags = [configuration.tag(config, name, seed) for name, seed in product(evaluated(config, protocol), config.seeds)]
    return [f"{folder}/{method}/{protocol}{end}/metrics.json" for (folder, end), method in product(variants, tags)]


def method(config: Config, data: str, split: str, name: str, seed: int) -> str:
    """Folder of a method trained with `seed`: encoder, features, protocols."""
    return f"{run(data, split)}/{configuration.tag(config, name, seed)}"


def split_rows(data: str, split: str, side: str) -> str:
    """The split's file of one side, train or test."""
    return f"results/{data}/splits/{split}_{side}.npy"
