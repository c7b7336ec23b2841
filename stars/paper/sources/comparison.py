"""Settings and input files of the comparison page: all protocols on one split."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import Any

from stars.config import Config
from stars.paper.sources import tables
from stars.paper.sources.common import Drawing, kind, methods, rehearsal, title, titles
from stars.paper.sources.tables import Shown
from stars.pipeline import configuration, layout

OUTPUTS = {
    "encoder": "KNN",
    "standardised": "KNN, standardised",
    "whitened": "KNN, whitened",
    "projector": "KNN, projector",
    "predictor": "KNN, predictor",
}
PLAIN = {"linear": "linear", "finetune": "fine-tuned"}
WORDS = {"semi": "", "transfer": "transfer ", "few_shot": ""}  # prefix of a column's title
FLOORS = ("scratch", "joints")


def comparison_runs(config: Config) -> list[tuple[str, str]]:
    """The (data, split) with a page: those in `comparison.runs`, or all with results."""
    every = layout.every_run(config)
    return (
        layout.runs(config)
        if config.comparison.runs is None
        else [run for run in every if "_".join(run) in config.comparison.runs]
    )


def comparison(config: Config, data: str, split: str) -> Drawing:
    """A cell for each protocol, method and seed with results on this split, and the records of its trainings."""
    names = methods(config, config.comparison.methods)
    columns, cells, files = list(_columns(config, data, split)), [], {}
    for (protocol, shown), name, seed in product(columns, names, config.seeds):
        if name not in layout.evaluated(config, protocol):
            continue
        named = {"method": name, "title": title(config, data, name), **kind(config, data, name), "seed": seed}
        cells.append({**named, **_cell(config, shown), "rehearsal": rehearsal(config, data, name)})
        files[f"{data}_{split}_{shown.variant}/{name}/{seed}"] = (
            f"{layout.method(config, *shown.run, name, seed)}/{shown.folder}/metrics.json"
        )
    told = []
    for name in names:
        trained = configuration.trainings(config, data, name)
        made_by = configuration.method(config, data, name).kind
        floor = made_by in FLOORS
        told.append({"method": name, "title": title(config, data, name), "trainings": trained, "floor": floor})
        for seed in config.seeds:
            folder = layout.method(config, data, split, name, seed)
            files[f"features/{name}/{seed}"] = f"{folder}/features/{data}_test.npy"
            if trained and made_by != "ensemble":  # an ensemble has several curves
                files[f"curve/{name}/{seed}"] = f"{layout.method(config, data, split, trained[-1], seed)}/curve.csv"
            files |= {
                f"record/{one}/{seed}": f"{layout.method(config, data, split, one, seed)}/record.json"
                for one in trained
            }
    settings = {"methods": told, "seeds": list(config.seeds), "runs": cells, **titles(config, data, split)}
    return Drawing(settings, files)


def _columns(config: Config, data: str, split: str) -> Iterator[tuple[str, Shown]]:
    """Protocol and column, in page order."""
    run = (data, split)
    if run in layout.runs(config, "knn"):
        k = config.knn.k[0]
        for output in config.knn.outputs:
            yield (
                "knn",
                Shown(
                    run,
                    "knn",
                    *run,
                    variant=f"knn_{output}",
                    variant_title=OUTPUTS[output],
                    select={"output": output, "k": k},
                ),
            )
    for protocol, words in PLAIN.items():
        if run in layout.runs(config, protocol):
            yield protocol, Shown(run, protocol, *run, variant=protocol, variant_title=words)
    for number, protocol in ((9, "semi"), (4, "transfer"), (5, "few_shot")):
        for shown in tables.COLUMNS[number](config, None):
            if shown.split == split and _same_clips(config, shown.data, data):
                words = ", ".join(
                    part for part in (shown.variant_title, shown.source_title, _joints(config, shown.data)) if part
                )
                words = f"novel actions: {words}" if shown.select.get("reading") == "neighbours" else words
                plain = replace(
                    shown, data=data, variant=f"{protocol}_{shown.variant}", variant_title=f"{WORDS[protocol]}{words}"
                )
                yield protocol, plain
                if protocol == "few_shot" and "whitened" in config.few_shot.outputs:
                    select = {**shown.select, "output": "whitened"}
                    yield (
                        protocol,
                        replace(
                            plain,
                            variant=f"{plain.variant}_whitened",
                            variant_title=f"{words}, whitened",
                            select=select,
                        ),
                    )


def _same_clips(config: Config, one: str, other: str) -> bool:
    """Whether two blocks of `data` read the same raw files; they may keep different joints."""
    told = [config.data[name].model_dump(include={"dataset", "raw", "simulate"}) for name in (one, other)]
    return told[0] == told[1]


def _joints(config: Config, data: str) -> str:
    return "" if config.data[data].ingest.joints == "file" else "common joints"


def _cell(config: Config, shown: Shown) -> dict[str, Any]:
    return {
        "data": shown.data,
        "split": shown.split,
        **titles(config, shown.data, shown.split),
        "variant": shown.variant,
        "variant_title": shown.variant_title,
        "source_title": None,  # part of the variant's title
        "counts": None,
        "select": dict(shown.select),
        "arrays": [],
    }
