"""The metrics file and entry that each cell of a result table shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

from stars.config import Config, ResultTable
from stars.paper.sources.common import Drawing, counts, kind, methods, rehearsal, runs, title, titles
from stars.paper.sources.departures import departures
from stars.pipeline import configuration, layout

PROTOCOLS = {
    1: "linear",
    2: "knn",
    3: "finetune",
    4: "transfer",
    5: "few_shot",
    6: "knn",
    7: "knn",
    9: "semi",
    11: "knn",
}


@dataclass(frozen=True)
class Shown:
    """The results in one column.

    Attributes:
        run: (data, split) that the methods were trained on.
        folder: folder of the results in a method's folder.
        data, split: the test data.
        variant, variant_title: what else distinguishes the column, e.g. 10nn and "10-NN".
        source_title: training data, if it is not part of the variant's title.
        select: entry of metrics.json's `results`; empty: the main result.
        arrays: the entry's predictions in predictions.npz, one per repetition; empty: not stored.
        counts: training and test clips of the paper's complete data (training None: any number); None: the data is not
            the paper's.
    """

    run: tuple[str, str]
    folder: str
    data: str
    split: str
    variant: str | None = None
    variant_title: str | None = None
    source_title: str | None = None
    select: Mapping[str, Any] = field(default_factory=dict)
    arrays: tuple[str, ...] = ("predicted",)
    counts: tuple[int | None, int] | None = None


Columns = Callable[[Config, tuple[str, ...] | None], list[Shown]]


def _plain(protocol: str) -> Columns:
    """A protocol's main result on the split that the methods were trained on."""

    def columns(config: Config, chosen: tuple[str, ...] | None) -> list[Shown]:
        return [Shown(run, protocol, *run, counts=counts(config, *run)) for run in runs(config, chosen, protocol)]

    return columns


def knn_columns(*neighbours: int) -> Columns:
    """KNN on the encoder's output; several k make several columns."""

    def columns(config: Config, chosen: tuple[str, ...] | None) -> list[Shown]:
        return [_knn(config, run, k, len(neighbours) > 1) for run in runs(config, chosen, "knn") for k in neighbours]

    return columns


def _knn(config: Config, run: tuple[str, str], k: int, named: bool) -> Shown:
    kept = config.knn.outputs[0] == "encoder" and k in config.knn.k  # only the first output's are stored
    return Shown(
        run,
        "knn",
        *run,
        variant=f"{k}nn" if named else None,
        variant_title=f"{k}-NN" if named else None,
        select={"output": "encoder", "k": k},
        arrays=(f"predicted_k{k}",) if kept else (),
        counts=counts(config, *run),
    )


def _semi(config: Config, chosen: tuple[str, ...] | None) -> list[Shown]:
    arrays = tuple(f"predicted_subset{number}" for number in range(config.semi.subsets))
    return [
        Shown(
            run,
            f"semi/{fraction:g}",
            *run,
            variant=f"{100 * fraction:g}pct",
            variant_title=f"{100 * fraction:g} % labelled",
            arrays=arrays,
            counts=_any_training(counts(config, *run)),
        )
        for run in runs(config, chosen, "semi")
        for fraction in config.semi.fractions
    ]


def _transfer(config: Config, chosen: tuple[str, ...] | None) -> list[Shown]:
    return [
        Shown(
            (pair.source, pair.source_split),
            f"transfer/{pair.target}_{pair.target_split}",
            pair.target,
            pair.target_split,
            variant=f"from_{pair.source}_{pair.source_split}",
            variant_title=f"from {_run_title(config, pair.source, pair.source_split)}",
            counts=counts(config, pair.target, pair.target_split),
        )
        for pair in _pairs_of(config, "transfer", chosen)
    ]


def _few_shot(config: Config, chosen: tuple[str, ...] | None) -> list[Shown]:
    return [
        SHOTS[reading](config, pair, shots)
        for pair in _pairs_of(config, "few_shot", chosen)
        for reading in config.few_shot.readings
        for shots in config.few_shot.shots
    ]


def _exemplars(config: Config, pair: configuration.Across, shots: int) -> Shown:
    """The entry is selected without its reading, which results of earlier versions lack."""
    arrays = tuple(f"predicted_shots{shots}_draw{draw}" for draw in range(config.few_shot.draws))
    counted = _any_training(counts(config, pair.target, pair.target_split, novel=True))
    shown = _novel(config, pair, f"{shots}shot", f"{shots}-shot", arrays)
    return replace(shown, select={"output": "encoder", "shots": shots}, counts=counted)


def _neighbours(config: Config, pair: configuration.Across, k: int) -> Shown:
    shown = _novel(config, pair, f"{k}nn", f"k-NN, k = {k}", (f"predicted_neighbours_k{k}",))
    counted = counts(config, pair.target, pair.target_split, novel=True)
    return replace(shown, select={"output": "encoder", "reading": "neighbours", "k": k}, counts=counted)


def _novel(config: Config, pair: configuration.Across, variant: str, words: str, arrays: tuple[str, ...]) -> Shown:
    """A column of novel classes, in either reading."""
    return Shown(
        (pair.source, pair.source_split),
        f"few_shot/{pair.target}_{pair.target_split}",
        pair.target,
        pair.target_split,
        variant=f"from_{pair.source}_{pair.source_split}_{variant}",
        variant_title=words,
        source_title=f"from {_run_title(config, pair.source, pair.source_split)}",
        arrays=arrays if config.few_shot.outputs[0] == "encoder" else (),
    )


def _pairs_of(config: Config, protocol: str, chosen: tuple[str, ...] | None) -> list[configuration.Across]:
    return [
        pair
        for pair in configuration.pairs(config, protocol)
        if chosen is None or f"{pair.source}_{pair.source_split}" in chosen
    ]


def _run_title(config: Config, data: str, split: str) -> str:
    return " ".join(titles(config, data, split).values())


def _any_training(of: tuple[int, int] | None) -> tuple[None, int] | None:
    return None if of is None else (None, of[1])


SHOTS: dict[str, Callable[[Config, configuration.Across, int], Shown]] = {
    "exemplars": _exemplars,
    "neighbours": _neighbours,
}

COLUMNS: dict[int, Columns] = {
    1: _plain("linear"),
    2: knn_columns(1),
    3: _plain("finetune"),
    4: _transfer,
    5: _few_shot,
    6: knn_columns(10),
    7: knn_columns(10),
    9: _semi,
    11: knn_columns(10, 20, 40),
}


def table(config: Config, number: int) -> Drawing:
    """Settings and files of a result table: a cell for every column, method and seed of the configuration."""
    block: ResultTable = getattr(config, f"table{number}")
    columns = COLUMNS[number](config, block.runs)
    names = methods(config, block.methods, PROTOCOLS[number], number)
    pairs = _compared(config, names)
    told, files = [], {}
    for shown, name, seed in product(columns, names, config.seeds):
        told.append(_cell(config, shown, name, seed))
        column = "_".join(part for part in (shown.data, shown.split, shown.variant) if part)
        folder, role = f"{layout.method(config, *shown.run, name, seed)}/{shown.folder}", f"{column}/{name}/{seed}"
        files[role] = f"{folder}/metrics.json"
        if shown.arrays and any(name in pair for pair in pairs):
            files[f"predictions of {role}"] = f"{folder}/predictions.npz"
    notes = departures(config, PROTOCOLS[number], names, dict.fromkeys((*shown.run, shown.data) for shown in columns))
    costs = [_cost(config, columns[0].run, name) for name in names] if block.columns and columns else []
    for cost, seed in product(costs, config.seeds):
        for one in (*cost["encoders"], *cost["trainings"]):
            files[f"record/{one}/{seed}"] = f"{layout.method(config, *columns[0].run, one, seed)}/record.json"
    told_costs = {"columns": list(block.columns), "costs": costs, "newer": block.newer}
    return Drawing({"number": number, "runs": told, "pairs": pairs, **told_costs, "notes": notes}, files)


def _cost(config: Config, run: tuple[str, str], name: str) -> dict[str, Any]:
    """Where the costs of a method trained on `run`, the first column's, are recorded."""
    found = configuration.method(config, run[0], name)
    encoders = list(found.members) or ([name] if found.kind != "joints" else [])
    return {
        "method": name,
        "encoders": encoders,
        "trainings": configuration.trainings(config, run[0], name),
        "seeds": list(config.seeds),
    }


def _cell(config: Config, shown: Shown, name: str, seed: int) -> dict[str, Any]:
    return {
        "method": name,
        "title": title(config, shown.data, name),
        **kind(config, shown.data, name),
        "data": shown.data,
        "split": shown.split,
        **titles(config, shown.data, shown.split),
        "variant": shown.variant,
        "variant_title": shown.variant_title,
        "source_title": shown.source_title,
        "seed": seed,
        "counts": shown.counts,
        "select": dict(shown.select),
        "rehearsal": rehearsal(config, shown.data, name),
        "arrays": list(shown.arrays),
    }


def _compared(config: Config, names: tuple[str, ...]) -> list[list[str]]:
    """Each tuned method with the one it starts from, if the table has both."""
    starts = {name: configuration.method(config, next(iter(config.data)), name).parent for name in names}
    return [[name, start] for name, start in starts.items() if start in names]
