"""The paper's tables with this pipeline's rows beside the published ones, as csv, JSON, Markdown, LaTeX and HTML."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import replace
from pathlib import Path

from stars.config import Settings, key
from stars.errors import InputError
from stars.evaluation.statistics import mean_std
from stars.paper import costs, render, web
from stars.paper import published as paper
from stars.paper.costs import Cost
from stars.paper.grid import Cell, Column, Row, Table, ranked
from stars.paper.results import NOT_RUN, Result, Run, read
from stars.paper.significance import P_NOTE, behind, p_rows
from stars.provenance.files import write_text
from stars.provenance.record import recording

REPEATED = "±: sample standard deviation over the protocol's repetitions, with one training seed."
BLANK = "The paper gives no value."
NOT_PUBLISHED = "The paper reports no results on this data."
NOT_COMPARABLE = "No difference: it needs a published value and this run's on the same complete data."
NOTHING_COMPARABLE = "No differences to published values: this run has no results on the paper's complete data."
WRITERS = {
    ".csv": render.as_csv,
    ".json": render.as_json,
    ".md": render.as_markdown,
    ".tex": render.as_latex,
    ".html": web.as_html,
}
CITED = " Published values are cited from the paper."
CHOICES = "This run's choices where the paper is silent or ambiguous (docs/fidelity.md)"
NARROWED = (".json", ".html")  # formats read on a screen; the report shows the json


class TableStage(Settings):
    """Settings of one table."""

    number: int = key(..., "number of the table in the paper")
    runs: tuple[Run, ...] = key((), "this pipeline's results, in the order of rows and columns")
    pairs: tuple[tuple[str, str], ...] = key((), "pairs of methods whose difference gets a p-value")
    columns: tuple[str, ...] = key((), "cost columns: parameters, operations, training")
    costs: tuple[Cost, ...] = key((), "the records with each method's costs")
    newer: bool = key(False, "add published rows of work after the paper")
    notes: tuple[str, ...] = key((), "further notes under the table")

    def used(self, files: Mapping[str, Path]) -> dict[str, Path]:
        """The files that the table reads."""
        roles = [role for run in self.runs for role in (run.name, behind(run.name))]
        return {
            role: files[role]
            for role in [*roles, *(role for cost in self.costs for role in cost.roles)]
            if role in files
        }


def build(settings: TableStage, files: Mapping[str, Path], published: Path, out: Path) -> None:
    """Write out/table{N}.csv, .json, .md, .tex, .html and .record.json.

    Args:
        files: `Run.name` → metrics.json; "predictions of {Run.name}" → predictions.npz, for p-values;
            record/{method}/{seed} → record.json of each method in `costs`. A run without a file becomes a dash with a
            reason.
        published: folder with tables.yaml and table{N}.csv.

    Raises:
        InputError: the table is not described, a run is named twice, or a file is missing or invalid.
    """
    used = settings.used(files)
    inputs = {**paper.sources(published, settings.number, settings.newer), **used}
    for path in inputs.values():
        if not path.is_file():
            raise InputError(f"{path} is missing: run the stage that makes it")
    write(
        out,
        settings,
        inputs,
        assemble(settings, paper.load(published, settings.number, settings.newer), used, inputs["published"]),
    )


def write(out: Path, settings: Settings, inputs: Mapping[str, Path], table: Table) -> None:
    """Write the table in every format, and its record."""
    stem = f"table{table.number}"
    files = [f"{stem}{ending}" for ending in WRITERS]
    with recording(out, __name__, settings.model_dump(mode="json"), inputs, files, name=f"{stem}.record.json"):
        for ending in WRITERS:
            write_text(out / f"{stem}{ending}", text(table, ending))


def text(table: Table, ending: str) -> str:
    """The table in the format of this file ending."""
    return WRITERS[ending](_narrowed(table) if ending in NARROWED else table)


def assemble(settings: TableStage, printed: paper.Published, files: Mapping[str, Path], source: Path) -> Table:
    """The ranked table: published rows, this run's rows, their differences, p-values."""
    names = [run.name for run in settings.runs]
    if twice := {name for name in names if names.count(name) > 1}:
        raise InputError(f"table {printed.number}: run {min(twice)} is named twice")
    results = [read(run, files.get(run.name), printed.layout.select) for run in settings.runs]
    columns = _columns(printed, results)
    priced = {cost.method: costs.shown(settings.columns, cost, files) for cost in settings.costs}
    ours = [replace(row, stub=row.stub | priced.get(row.recipe, {})) for row in _our_rows(printed, columns, results)]
    tested = p_rows(settings.pairs, _by_cell(printed, results), [column.key for column in columns], files)
    known = {_place(printed, result).key for result in results if result.complete}
    compared = _beside(_published_rows(printed, columns, known, source), ours)
    rows = (*compared, *_differences(printed, columns, ours, source), *tested)
    notes = [
        *printed.layout.notes,
        *spread_notes(results),
        *_star_note(printed),
        *_read_in(printed, settings.newer),
        *([P_NOTE] if tested else []),
    ]
    if ours and printed.layout.chosen:
        points = "; ".join(f"{point} – {choice}" for point, choice in printed.layout.chosen.items())
        notes.append(f"{CHOICES}: {points}.")
    if ours and not any(row.origin == "difference" for row in rows):
        notes.append(NOTHING_COMPARABLE)
    return ranked(
        Table(
            printed.number,
            _caption(printed, results),
            (*printed.stubs, *settings.columns),
            columns,
            rows,
            (*notes, *settings.notes),
            title=printed.layout.title,
        )
    )


def _by_cell(printed: paper.Published, results: Sequence[Result]) -> dict[tuple[str, str], list[Result]]:
    """(method, column) → its results, one per seed."""
    found: dict[tuple[str, str], list[Result]] = {}
    for result in results:
        found.setdefault((result.run.method, _place(printed, result).key), []).append(result)
    return found


def _place(printed: paper.Published, result: Result) -> Column:
    """The column of a result: the paper's for its complete data, another one for other data, so that these are never
    ranked together.
    """
    run = result.run
    paper_has = run.column in printed.layout.columns
    if paper_has and result.complete:
        return Column(run.column, *printed.layout.columns[run.column], published=True)
    partial = not result.complete and (paper_has or run.counts is not None)
    data = f"{run.data_title}, not the paper's data" if partial else run.data_title
    name = f"{run.column}_partial" if partial else run.column
    if run.variant_title is None:
        return Column(name, data, f"{run.split_title} (%)", published=False)
    group = ", ".join(part for part in (f"{data} {run.split_title} (%)", run.source_title) if part)
    return Column(name, group, run.variant_title, published=False)


def _columns(printed: paper.Published, results: Sequence[Result]) -> tuple[Column, ...]:
    columns = {name: Column(name, *heading, published=True) for name, heading in printed.layout.columns.items()}
    for result in results:
        column = _place(printed, result)
        columns.setdefault(column.key, column)
    return tuple(columns.values())


def _published_rows(printed: paper.Published, columns: Sequence[Column], known: Set[str], source: Path) -> list[Row]:
    """`known`: keys of columns on the paper's complete data."""

    def cell(row: paper.PublishedRow, column: Column) -> Cell:
        if column.key in row.values:
            value = row.values[column.key]
            return Cell(value, values=(value,), sources=(str(source),), reproduced=column.key in row.reproduced)
        return Cell(reason=BLANK if column.published or column.key in known else NOT_PUBLISHED)

    return [
        Row(
            origin="published",
            group=row.group or "In the paper's table",
            method=row.method,
            cells={column.key: cell(row, column) for column in columns},
            citation=row.citation,
            reference=row.reference,
            recipe=row.recipe,
            stub=row.stub,
        )
        for row in printed.rows
    ]


def _beside(printed: Sequence[Row], ours: Sequence[Row]) -> Iterator[Row]:
    """Each published row followed by this run's row of the same method, then this run's other rows."""
    waiting = {row.recipe: row for row in ours}
    for row in printed:
        yield row
        if mine := waiting.pop(row.recipe, None):
            yield replace(mine, group=row.group)
    yield from waiting.values()


def _narrowed(table: Table) -> Table:
    """The table for a screen, with a note on what it omits."""
    shown = table.narrowed()
    columns, rows = len(table.columns) - len(shown.columns), len(table.rows) - len(shown.rows)
    left = [f"{count} more {what}{'s' * (count > 1)}" for count, what in ((columns, "column"), (rows, "row")) if count]
    note = f"table{table.number}.csv, .md and .tex have {' and '.join(left)}, without values of this run."
    cites = any(row.origin == "published" for row in shown.rows)
    caption = shown.caption if cites else shown.caption.replace(CITED, "")
    return replace(shown, caption=caption, notes=(*shown.notes, *([note] if left else [])))


def _our_rows(printed: paper.Published, columns: Sequence[Column], results: Sequence[Result]) -> list[Row]:
    titles = {result.run.method: result.run.title for result in reversed(results)}
    cells = _by_cell(printed, results)
    runs = {result.run.method: result.run for result in reversed(results)}
    return [
        Row(
            origin="this run",
            group="This run",
            method=titles[method],
            cells={column.key: mean_cell(cells.get((method, column.key), [])) for column in columns},
            recipe=method,
            stub={name: getattr(runs[method], name) for name in printed.stubs},
        )
        for method in dict.fromkeys(result.run.method for result in results)
    ]


def mean_cell(results: Sequence[Result]) -> Cell:
    """The mean over seeds; a dash if any seed has no result."""
    lacking = [result.reason for result in results if result.found is None]
    found = [result.found for result in results if result.found is not None]
    if lacking or not found:
        return Cell(reason=lacking[0] if lacking else NOT_RUN)
    values = tuple(one.top1 for one in found)
    mean, std = mean_std(values)
    seeds = tuple(result.run.seed for result in results)
    return Cell(
        mean, std if len(found) > 1 else found[0].std, seeds, values, tuple(result.source for result in results)
    )


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
    return [row for row in rows if row.measured]


def _caption(printed: paper.Published, results: Sequence[Result]) -> str:
    head = f"Table {printed.number} of the STARS paper: {printed.layout.title}.{CITED}"
    same = _measured_on([result for result in results if result.complete])
    other = _measured_on([result for result in results if not result.complete])
    if same:
        head += f" This run was measured on {same}."
    if other:
        head += (
            f" This run's values on {other} are NOT results on NTU RGB+D or PKU-MMD: they cannot be compared with the"
            " published values and are not ranked with them."
        )
    return head if same or other else head + " This run has no results for this table."


def _measured_on(results: Sequence[Result]) -> str:
    """Data sets with their clip counts: "Simulated XSub (540 training, 270 test clips)"."""
    seen: dict[tuple[str, str, int], dict[str, None]] = {}
    for run, (train, test) in ((result.run, result.clips) for result in results if result.clips is not None):
        seen.setdefault((run.data_title, run.split_title, test), {})[f"{train:,}"] = None
    return "; ".join(
        f"{data} {split} ({' / '.join(train)} training, {test:,} test clips)"
        for (data, split, test), train in seen.items()
    )


def spread_notes(results: Sequence[Result]) -> list[str]:
    """Notes on ±: standard deviation over seeds or, with one seed, over the protocol's repetitions."""
    seeds: dict[tuple[str, str], list[int]] = {}
    for result in results:
        seeds.setdefault((result.run.column, result.run.method), []).append(result.run.seed)
    several = dict.fromkeys(tuple(found) for found in seeds.values() if len(found) > 1)
    notes = [
        f"±: sample standard deviation over {len(found)} seeds ({', '.join(map(str, found))})." for found in several
    ]
    repeated = any(result.found is not None and result.found.std is not None for result in results)
    return notes or ([REPEATED] if repeated else [])


def _read_in(printed: paper.Published, newer: bool) -> list[str]:
    """A note on the sources of numbers of work after the paper."""
    if not newer:
        return []
    places: dict[str, list[str]] = {}
    for row in printed.rows:
        if row.address:
            places.setdefault(row.address, []).append(row.method)
    read = "; ".join(f"{', '.join(who)}: {address}" for address, who in places.items())
    return [
        (
            f"{paper.LATER}, with numbers from its paper or repository: {read}."
            if read
            else f"{paper.LATER}: no numbers found for this protocol."
        )
    ]


def _star_note(printed: paper.Published) -> list[str]:
    return ["*: reproduced by the authors of the STARS paper."] if any(row.reproduced for row in printed.rows) else []
