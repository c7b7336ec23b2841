"""Tables of the paper with this pipeline's rows beside the published ones: csv, Markdown, LaTeX and HTML."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stars.config import Settings, key
from stars.errors import InputError
from stars.evaluation.statistics import mean_std
from stars.paper import published as paper
from stars.paper import render, web
from stars.paper.grid import Cell, Column, Row, Table, ranked
from stars.provenance.files import read_json, write_text
from stars.provenance.record import recording

STUB = {"input": "Single-stream", "backbone": "Transformer"}
BLANK = "The paper gives no value."
NOT_PUBLISHED = "The paper reports nothing on this data."
NOT_RUN = "No result of this method on this data in this configuration."
NOT_COMPARABLE = "No difference: the published value and this run's are not both there, on the same complete data."
WRITERS = {"csv": render.as_csv, "md": render.as_markdown, "tex": render.as_latex, "html": web.as_html}


class Run(Settings):
    """One result that a table may show."""

    method: str = key(..., "method's key; the published row with this `recipe` is its counterpart")
    title: str = key(..., "method's name in the table")
    data: str = key(..., "data set's key")
    data_title: str = key(..., "data set's name in the table")
    split: str = key(..., "split's key")
    split_title: str = key(..., "split's name in the table")
    variant: str | None = key(None, "what else a column fixes, e.g. 1shot, 10pct or from_ntu60")
    variant_title: str | None = key(None, "the variant's name in the table")
    seed: int = key(..., "seed of training")
    counts: tuple[int, int] | None = key(
        None, "training and test clips that a result on the paper's real, complete data has; null: the data is not the paper's"
    )
    select: dict[str, int | str] = key({}, "entry of metrics.json's `results` that is shown, added to what the table selects")

    @property
    def column(self) -> str:
        """{data}_{split}, with _{variant} where there is one."""
        return "_".join(part for part in (self.data, self.split, self.variant) if part)

    @property
    def name(self) -> str:
        """Key of this run's metrics file among the inputs of `build`."""
        return f"{self.column}/{self.method}/{self.seed}"


class TableStage(Settings):
    """What one table shows."""

    number: int = key(..., "number of the table in the paper")
    runs: tuple[Run, ...] = key((), "this pipeline's results, in the order of their rows and columns")
    notes: tuple[str, ...] = key((), "further notes under the table")


@dataclass(frozen=True)
class Result:
    """A run and what its metrics.json says: percent (None: `reason`), clips, and whether the data is the paper's, complete."""

    run: Run
    value: float | None
    source: str
    clips: tuple[int, int] | None
    complete: bool
    reason: str = ""


def build(settings: TableStage, metrics: Mapping[str, Path], published: Path, out: Path) -> None:
    """Write out/table{N}.csv, .md, .tex, .html and .record.json.

    Args:
        metrics: `Run.name` → metrics.json. A run without a file is a dash with its reason.
        published: folder with tables.yaml and table{N}.csv.

    Raises:
        InputError: a table that is not described, a run named twice, a metrics file that is missing or does not hold what is shown.
    """
    stem = f"table{settings.number}"
    used = {run.name: metrics[run.name] for run in settings.runs if run.name in metrics}
    inputs = {**paper.sources(published, settings.number), **used}
    for path in inputs.values():
        if not path.is_file():
            raise InputError(f"{path} is missing: run the stage that makes it")
    files = [f"{stem}.{ending}" for ending in WRITERS]
    with recording(out, __name__, settings.model_dump(mode="json"), inputs, files, name=f"{stem}.record.json"):
        table = assemble(settings, paper.load(published, settings.number), used, inputs["published"])
        for ending, write in WRITERS.items():
            write_text(out / f"{stem}.{ending}", write(table))


def assemble(settings: TableStage, printed: paper.Published, metrics: Mapping[str, Path], source: Path) -> Table:
    """The ranked table: published rows, this run's rows, their differences."""
    names = [run.name for run in settings.runs]
    if twice := {name for name in names if names.count(name) > 1}:
        raise InputError(f"table {printed.number}: run {min(twice)} is named twice")
    results = [read(run, metrics.get(run.name), printed.layout.select) for run in settings.runs]
    columns = _columns(printed, results)
    ours = _our_rows(printed, columns, results)
    rows = [*_published_rows(printed, columns, source), *ours, *_differences(printed, columns, ours, source)]
    notes = (*printed.layout.notes, *_seed_notes(results), *_star_note(printed), *settings.notes)
    return ranked(Table(printed.number, _caption(printed, results), printed.stubs, columns, tuple(rows), notes))


def read(run: Run, path: Path | None, select: Mapping[str, Any]) -> Result:
    """The value that a table shows of one metrics.json; without a file, a result that is a dash."""
    if path is None:
        return Result(run, None, "", None, run.counts is not None, NOT_RUN)
    found = read_json(path)
    try:
        clips = (int(found["train_clips"]), int(found["test_clips"]))
        wanted = {**select, **run.select}
        matches = [entry for entry in found["results"] if wanted.items() <= entry.items()] if wanted else [found]
        values = [float(entry["top1"]) for entry in matches]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{path} is not a metrics file ({error!r}): delete it and run again") from None
    complete = run.counts is not None and clips == tuple(run.counts)
    shown = ", ".join(f"{name} = {value}" for name, value in wanted.items())
    if not values:
        return Result(run, None, str(path), clips, complete, f"Not evaluated at {shown}.")
    if len(values) > 1 or not 0 <= values[0] <= 100:
        raise InputError(f"{path}: expected one accuracy in percent for {shown or 'top1'}, found {values}")
    return Result(run, values[0], str(path), clips, complete)


def _place(printed: paper.Published, result: Result) -> Column:
    """A result on the paper's complete data stands in the paper's column, any other in its own, so that they are never ranked together."""
    run = result.run
    paper_has = run.column in printed.layout.columns
    if paper_has and result.complete:
        return Column(run.column, *printed.layout.columns[run.column], published=True)
    title = " ".join(part for part in (run.split_title, run.variant_title, "(%)") if part)
    if paper_has:
        return Column(f"{run.column}_partial", f"{run.data_title}, not the paper's data", title, published=False)
    return Column(run.column, run.data_title, title, published=False)


def _columns(printed: paper.Published, results: Sequence[Result]) -> tuple[Column, ...]:
    columns = {name: Column(name, *heading, published=True) for name, heading in printed.layout.columns.items()}
    for result in results:
        column = _place(printed, result)
        columns.setdefault(column.key, column)
    return tuple(columns.values())


def _published_rows(printed: paper.Published, columns: Sequence[Column], source: Path) -> list[Row]:
    def cell(row: paper.PublishedRow, column: Column) -> Cell:
        if column.key in row.values:
            value = row.values[column.key]
            return Cell(value, values=(value,), sources=(str(source),), reproduced=column.key in row.reproduced)
        return Cell(reason=BLANK if column.published else NOT_PUBLISHED)

    return [
        Row(
            origin="published",
            group=row.group or "Published",
            method=row.method,
            cells={column.key: cell(row, column) for column in columns},
            citation=row.citation,
            reference=row.reference,
            recipe=row.recipe,
            stub=row.stub,
        )
        for row in printed.rows
    ]


def _our_rows(printed: paper.Published, columns: Sequence[Column], results: Sequence[Result]) -> list[Row]:
    titles = {result.run.method: result.run.title for result in reversed(results)}
    rows = []
    for method in dict.fromkeys(result.run.method for result in results):
        mine = [(_place(printed, result).key, result) for result in results if result.run.method == method]
        cells = {column.key: _mean_cell([result for name, result in mine if name == column.key]) for column in columns}
        stub = {name: STUB[name] for name in printed.stubs}
        rows.append(Row("this run", "This run", titles[method], cells, recipe=method, stub=stub))
    return rows


def _mean_cell(results: Sequence[Result]) -> Cell:
    """The mean over seeds; a seed without a result makes the whole cell a dash, never a mean over fewer seeds than were asked for."""
    lacking = [result.reason for result in results if result.value is None]
    values = tuple(result.value for result in results if result.value is not None)
    if lacking or not values:
        return Cell(reason=lacking[0] if lacking else NOT_RUN)
    mean, std = mean_std(values)
    return Cell(mean, std, tuple(result.run.seed for result in results), values, tuple(result.source for result in results))


def _differences(printed: paper.Published, columns: Sequence[Column], ours: Sequence[Row], source: Path) -> list[Row]:
    def cell(mine: Cell, theirs: float | None) -> Cell:
        if mine.value is None or theirs is None:
            return Cell(reason=NOT_COMPARABLE)
        return Cell(mine.value - theirs, seeds=mine.seeds, sources=(*mine.sources, str(source)))

    rows = []
    for row in ours:
        if counterpart := printed.of_recipe(row.recipe):
            cells = {column.key: cell(row.cells[column.key], counterpart.values.get(column.key)) for column in columns}
            rows.append(Row("difference", "Difference: this run − published", row.method, cells, recipe=row.recipe))
    return rows


def _caption(printed: paper.Published, results: Sequence[Result]) -> str:
    head = f"Table {printed.number} of the STARS paper: {printed.layout.title}. Published values are cited from the paper."
    same = _measured_on([result for result in results if result.complete])
    other = _measured_on([result for result in results if not result.complete])
    if same:
        head += f" This run was measured on {same}."
    if other:
        head += f" This run's values on {other} are NOT results on NTU RGB+D or PKU-MMD: they are not comparable with, nor ranked among, the published ones."
    return head if same or other else head + " This run has no result for it."


def _measured_on(results: Sequence[Result]) -> str:
    """Data sets with their clip counts: "Simulated XSub (540 training, 270 test clips)"."""
    seen = dict.fromkeys((r.run.data_title, r.run.split_title, *r.clips) for r in results if r.clips is not None)
    return "; ".join(f"{data} {split} ({train:,} training, {test:,} test clips)" for data, split, train, test in seen)


def _seed_notes(results: Sequence[Result]) -> list[str]:
    def cell(result: Result) -> tuple[str, str]:
        return result.run.column, result.run.method

    groups = [[r.run.seed for r in group] for _, group in itertools.groupby(sorted(results, key=cell), key=cell)]
    several = dict.fromkeys(tuple(seeds) for seeds in groups if len(seeds) > 1)
    return [f"±: sample standard deviation over {len(seeds)} seeds ({', '.join(map(str, seeds))})." for seeds in several]


def _star_note(printed: paper.Published) -> list[str]:
    return ["*: reproduced by the paper's authors."] if any(row.reproduced for row in printed.rows) else []
