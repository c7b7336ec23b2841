"""Tables of the paper with this pipeline's rows beside the published ones: csv, Markdown, LaTeX and HTML."""

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

REPEATED = "±: sample standard deviation over the protocol's own repetitions, with one seed of training."
BLANK = "The paper gives no value."
NOT_PUBLISHED = "The paper reports nothing on this data."
NOT_COMPARABLE = "No difference: the published value and this run's are not both there, on the same complete data."
NOTHING_COMPARABLE = (
    "No difference to a published value is shown: this run has no result on the paper's own complete data."
)
WRITERS = {
    ".csv": render.as_csv,
    ".json": render.as_json,
    ".md": render.as_markdown,
    ".tex": render.as_latex,
    ".html": web.as_html,
}
CITED = " Published values are cited from the paper."
CHOICES = "Choices of this run where the paper is unclear (docs/fidelity.md)"
NARROWED = (".json", ".html")  # what is read on a screen; json is what the report's page shows


class TableStage(Settings):
    """What one table shows."""

    number: int = key(..., "number of the table in the paper")
    runs: tuple[Run, ...] = key((), "this pipeline's results, in the order of their rows and columns")
    pairs: tuple[tuple[str, str], ...] = key(
        (), "methods whose difference gets a p-value, each with the one it is compared with"
    )
    columns: tuple[str, ...] = key((), "what a method costs, a column each: parameters, operations, training")
    costs: tuple[Cost, ...] = key((), "where the costs of each method are recorded")
    newer: bool = key(False, "with published rows of work after the paper")
    notes: tuple[str, ...] = key((), "further notes under the table")

    def used(self, files: Mapping[str, Path]) -> dict[str, Path]:
        """Those of the files that the table reads."""
        roles = [role for run in self.runs for role in (run.name, behind(run.name))]
        return {
            role: files[role]
            for role in [*roles, *(role for cost in self.costs for role in cost.roles)]
            if role in files
        }


def build(settings: TableStage, files: Mapping[str, Path], published: Path, out: Path) -> None:
    """Write out/table{N}.csv, .md, .tex, .html and .record.json.

    Args:
        files: `Run.name` → metrics.json; "predictions of {Run.name}" → predictions.npz, for p-values. A run without a
            file is a dash with its reason. record/{method}/{seed} → record.json of what `costs` names.
        published: folder with tables.yaml and table{N}.csv.

    Raises:
        InputError: a table that is not described, a run named twice, a file that is missing or does not hold what is
            shown.
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
    """The table in every format, and its record."""
    stem = f"table{table.number}"
    files = [f"{stem}{ending}" for ending in WRITERS]
    with recording(out, __name__, settings.model_dump(mode="json"), inputs, files, name=f"{stem}.record.json"):
        for ending in WRITERS:
            write_text(out / f"{stem}{ending}", text(table, ending))


def text(table: Table, ending: str) -> str:
    """The table in the format of files that end so."""
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
    """(method, column) → its results, one a seed."""
    found: dict[tuple[str, str], list[Result]] = {}
    for result in results:
        found.setdefault((result.run.method, _place(printed, result).key), []).append(result)
    return found


def _place(printed: paper.Published, result: Result) -> Column:
    """A result on the paper's complete data stands in the paper's column, any other in its own, so that they are
    never ranked together.
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
    """`known`: keys of columns on the paper's own data."""

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
    """Each published row with this run's row of the same method after it, then the rows of this run that have no
    counterpart.
    """
    waiting = {row.recipe: row for row in ours}
    for row in printed:
        yield row
        if mine := waiting.pop(row.recipe, None):
            yield replace(mine, group=row.group)
    yield from waiting.values()


def _narrowed(table: Table) -> Table:
    """The table as it is shown on a screen, with a note on what it leaves out."""
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
    """The mean over seeds; a seed without a result makes the whole cell a dash, never a mean over fewer seeds than
    were asked for.
    """
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
            f" This run's values on {other} are NOT results on NTU RGB+D or PKU-MMD: they are not comparable with, nor"
            " ranked among, the published ones."
        )
    return head if same or other else head + " This run has no result for it."


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
    """What ± stands for: several seeds, or with one seed the repetitions of the protocol itself."""
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
    """Where the numbers of work after the paper were read."""
    if not newer:
        return []
    places: dict[str, list[str]] = {}
    for row in printed.rows:
        if row.address:
            places.setdefault(row.address, []).append(row.method)
    read = "; ".join(f"{', '.join(who)}: {address}" for address, who in places.items())
    return [
        (
            f"{paper.LATER}, read in its own paper or repository: {read}."
            if read
            else f"{paper.LATER}: no number of this protocol was found."
        )
    ]


def _star_note(printed: paper.Published) -> list[str]:
    return ["*: reproduced by the paper's authors."] if any(row.reproduced for row in printed.rows) else []
