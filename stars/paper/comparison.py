"""The comparison page: all protocols on one split, one row per method, baselines first; mean ± std over seeds,
training time, signs of collapse.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from stars.config import Settings, key
from stars.errors import InputError
from stars.evaluation.statistics import mean_std
from stars.paper.grid import DASH, Cell, Column, Row, Table, ranked
from stars.paper.results import Result, Run, read
from stars.paper.tables import WRITERS, mean_cell, spread_notes
from stars.paper.times import Trained, duration, training_seconds
from stars.provenance.files import read_npy, write_text
from stars.provenance.record import recording
from stars.training.collapse import effective_rank

FLOOR, LEARNT = "Baselines without training", "Trained"
FACTS = {
    "rank": "effective rank",
    "steps": "steps of the last training",
    "self_matches": "self-matches, %",
    "seconds": "training time",
}
PROTOCOLS = (
    "KNN uses the first k of knn.k. Standardised and whitened features are rescaled with statistics of the training"
    " clips, without training. With more features than training clips, as for raw joints, whitening makes all training"
    " clips equidistant."
)
NOTES = {  # on columns of FACTS
    "rank": "Effective rank: of the encoder's test features, from 1 to their width; low if features collapse.",
    "self_matches": "Self-matches: share of neighbours in the last step of stage 2 that are earlier embeddings of the"
    " same clip.",
}
UNTRAINED, NOT_MEASURED = "Not trained.", "Measured only in stage 2."
SEVERAL = "Fusion of several trainings."


class Measured(Trained):
    """A method, its trainings, and whether it is a baseline without training."""

    floor: bool = key(False, "a baseline without training")


class ComparisonStage(Settings):
    """Settings of the page."""

    methods: tuple[Measured, ...] = key(..., "methods, one row each")
    runs: tuple[Run, ...] = key(..., "results, in the order of their columns")
    seeds: tuple[int, ...] = key(..., "seeds of training; a cell is their mean", min_length=1)
    data_title: str = key(..., "data set's name in the caption")
    split_title: str = key(..., "split's name in the caption")


def comparison(settings: ComparisonStage, files: Mapping[str, Path], out: Path) -> None:
    """Write out/comparison.csv, .json, .md, .tex, .html and .record.json.

    Args:
        files: `Run.name` → metrics.json; features/{method}/{seed} → test features of the encoder; curve/{method}/{seed}
            → curve.csv of a trained method; record/{training}/{seed} → record.json of each of its trainings.

    Raises:
        InputError: a file is missing or invalid.
    """
    names = [f"comparison{ending}" for ending in WRITERS]
    with recording(out, __name__, settings.model_dump(mode="json"), files, names, "comparison.record.json"):
        table = assemble(settings, files)
        for ending, text in WRITERS.items():
            write_text(out / f"comparison{ending}", text(table))


def assemble(settings: ComparisonStage, files: Mapping[str, Path]) -> Table:
    """The ranked table."""
    results = [read(run, files[run.name], {}) for run in settings.runs]
    measured = {
        result.run.column: Column(result.run.column, "", result.run.variant_title or "", published=False)
        for result in results
    }
    columns = (*measured.values(), *(Column(name, "", title, published=False) for name, title in FACTS.items()))
    rows = [
        _row(settings, method, measured, results, files)
        for method in sorted(settings.methods, key=lambda method: not method.floor)
    ]
    clips = dict.fromkeys(result.clips for result in results if result.clips)
    sizes = "; ".join(f"{train:,} training, {test:,} test clips" for train, test in list(clips)[:1])
    caption = f"{settings.data_title}, {settings.split_title} ({sizes}): top-1 accuracy, %, of every protocol"
    shown = tuple(
        column
        for column in columns
        if column.key in measured or any(row.cells[column.key].text() != DASH for row in rows)
    )
    told = [NOTES[column.key] for column in shown if column.key in NOTES]
    notes = (*spread_notes(results), PROTOCOLS, *told, _hardware(settings, files))
    return ranked(Table("comparison", caption, (), shown, tuple(rows), notes, cites=False))


def _row(
    settings: ComparisonStage,
    method: Measured,
    measured: Mapping[str, Column],
    results: Sequence[Result],
    files: Mapping[str, Path],
) -> Row:
    own = [result for result in results if result.run.method == method.method]
    cells = {name: mean_cell([result for result in own if result.run.column == name]) for name in measured}
    return Row(
        "this run",
        FLOOR if method.floor else LEARNT,
        method.title,
        cells | _facts(settings, method, files),
        recipe=method.method,
    )


def _facts(settings: ComparisonStage, method: Measured, files: Mapping[str, Path]) -> dict[str, Cell]:
    """Cells beside the accuracies; as text, because they are not ranked."""

    def told(kind: str) -> list[Path]:
        return [files[role] for seed in settings.seeds if (role := f"{kind}/{method.method}/{seed}") in files]

    ranks, curves = told("features"), [_last_row(path) for path in told("curve")]
    matches = [100 * float(row["self_matches"]) for row in curves if row.get("self_matches")]
    times = [
        sum(training_seconds(files[f"record/{one}/{seed}"])[0] for one in method.trainings) for seed in settings.seeds
    ]
    return {
        "rank": _words([effective_rank(torch.from_numpy(read_npy(path))) for path in ranks], "{:.1f}", ranks),
        "steps": _words(
            [float(row["step"]) for row in curves], "{:,.0f}", told("curve"), SEVERAL if method.trainings else UNTRAINED
        ),
        "self_matches": _words(matches, "{:.0f}", told("curve"), NOT_MEASURED),
        "seconds": Cell(words=duration(mean_std(times)[0])) if method.trainings else Cell(reason=UNTRAINED),
    }


def _words(values: Sequence[float], form: str, sources: Sequence[Path], reason: str = "") -> Cell:
    if not values:
        return Cell(reason=reason)
    return Cell(words=form.format(mean_std(values)[0]), values=tuple(values), sources=tuple(map(str, sources)))


def _last_row(path: Path) -> dict[str, str]:
    """The last row of a training's curve.csv; InputError if it has none."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            *_, last = csv.DictReader(file)
        return {**last, "step": str(int(last["step"]))}
    except (OSError, ValueError, KeyError, csv.Error):
        raise InputError(f"{path} is not a training curve: train again") from None


def _hardware(settings: ComparisonStage, files: Mapping[str, Path]) -> str:
    trained = dict.fromkeys(
        f"record/{one}/{seed}" for method in settings.methods for one in method.trainings for seed in settings.seeds
    )
    machines = dict.fromkeys(training_seconds(files[role])[1] for role in trained)
    where = "; ".join(machines) or "nothing was trained"
    return (
        "Training time: total wall time of a method's trainings, mean over seeds; other jobs may have run at the same"
        f" time ({where})."
    )
