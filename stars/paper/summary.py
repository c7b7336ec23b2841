"""A run's results for the terminal: its rows of each table, and the paths of tables and figures."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from stars.errors import InputError
from stars.program import program
from stars.provenance.files import read_json

DRAWN = ("figures/*.svg", "*/curves.svg")
PAGE = "report/index.html"


def summary(results: Path) -> str:
    """The text; InputError if folder `results` contains no table and no figure."""
    tables, drawn = files(results)
    if not tables and not drawn:
        raise InputError(f"{results} contains no table or figure: make them with `{program('snakemake')} --cores 2`")
    page = (
        [f"All on one page: {(results / PAGE).absolute().as_uri()}   (open it in a browser)"]
        if (results / PAGE).is_file()
        else []
    )
    made = ["Tables:", *(_made(path, "md") for path in tables)] if tables else []
    pictures = ["Pictures:", *(_made(path, "png") for path in drawn)] if drawn else []
    return "\n".join([*filter(None, map(own_rows, tables)), *made, *pictures, *page]) + "\n"


def files(results: Path) -> tuple[list[Path], list[Path]]:
    """The tables' csv files, sorted by number, and the figures' svg files in folder `results`."""
    tables = sorted(results.glob("tables/table*.csv"), key=lambda path: (len(path.name), path.name))
    return tables, [path for pattern in DRAWN for path in sorted(results.glob(pattern))]


def own_rows(path: Path) -> str:
    """This run's values in a table, in percent, under the table's title: one row per method; a dash for no value.

    Empty if there are no values, as in a table of settings.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            cells = [cell for cell in csv.DictReader(file) if cell["origin"] == "this run"]
        shown = {(cell["method"], cell["column"]): _percent(cell["value"], cell["std"]) for cell in cells}
    except (KeyError, ValueError, TypeError, csv.Error, OSError):
        raise InputError(f"{path} was not written by stars: delete it and run again") from None
    named = filter(None, (path.stem.replace("table", "Table "), _title(path)))
    title = f"{', '.join(named)}, this run, top-1 accuracy (%)"
    methods = list(dict.fromkeys(method for method, _ in shown))
    columns = [
        column
        for column in dict.fromkeys(column for _, column in shown)
        if any(shown[method, column] for method in methods)
    ]
    if not columns:
        return ""
    body = [[method, *(shown[method, column] or "–" for column in columns)] for method in methods]
    return "\n".join([title, *_aligned([["", *columns], *body])]) + "\n"


def _title(path: Path) -> str:
    """A table's title; empty if it was made by an older version."""
    beside = path.with_suffix(".json")
    told = read_json(beside) if beside.is_file() else {}
    return str(told.get("title", "")) if isinstance(told, dict) else ""


def _percent(mean: str, deviation: str) -> str:
    return f"{float(mean):.1f}" + (f" ± {float(deviation):.1f}" if deviation else "") if mean else ""


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Align the first column left, the others right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  " + "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows]


def _made(path: Path, first: str) -> str:
    """A table's or figure's file and its other formats: "results/figures/fig4.png (also .csv .svg)"."""
    found = sorted(form.suffix for form in path.parent.glob(f"{path.stem}.*") if form.suffix != ".json")
    shown = f".{first}" if f".{first}" in found else path.suffix
    others = [suffix for suffix in found if suffix != shown]
    return f"  {path.with_suffix(shown)}" + (f" (also {' '.join(others)})" if others else "")
