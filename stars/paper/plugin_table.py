"""Custom tables: the file plugins/tables/NAME.py defines the table NAME.

It contains `Options`, its settings with their defaults, and

    table(results, options) -> pandas.DataFrame

which gets a `Result` for every method, run and seed that its block requests. The data frame is written as csv,
Markdown, LaTeX and HTML.
"""

from __future__ import annotations

import html
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from stars import plugins
from stars.config import Settings
from stars.config import key as setting
from stars.config.reading import validate
from stars.errors import InputError
from stars.provenance.files import read_json, write_text
from stars.provenance.record import recording


class Result(Settings):
    """One result of a protocol."""

    data: str
    split: str
    method: str
    title: str
    seed: int
    metrics: dict[str, Any] = setting({}, "its metrics.json (docs/files.md)")


class PluginTableStage(Settings):
    """Inputs of the table function."""

    name: str = setting(..., "its file's name", pattern="^[a-z][a-z_]*$")
    title: str
    options: dict[str, Any]
    results: tuple[Result, ...]


def build(settings: PluginTableStage, files: Mapping[str, Path], out: Path) -> None:
    """Write out/{name}.csv, .md, .tex, .html and .record.json.

    Args:
        files: {data}_{split}/{method}/{seed} → metrics.json of each result.

    Raises:
        InputError: unknown table or option, or a metrics file is missing or damaged.
    """
    name, key = settings.name, f"tables.{settings.name}"
    stage, own = plugins.module_of("tables", name, key), plugins.load("tables", name, key)
    options = validate(own.Options, settings.options, f"tables.{name}", "options")
    for path in files.values():
        if not path.is_file():
            raise InputError(f"{path} is missing: run the stage that makes it")
    with recording(
        out, f"{__name__}+{stage}", settings.model_dump(mode="json"), files, _files(name), f"{name}.record.json"
    ):
        frame = own.table([_read(one, files) for one in settings.results], options)
        for file, text in zip(_files(name), _texts(frame, settings.title), strict=True):
            write_text(out / file, text)


def _files(name: str) -> list[str]:
    return [f"{name}.{ending}" for ending in ("csv", "md", "tex", "html")]


def _read(one: Result, files: Mapping[str, Path]) -> Result:
    return one.model_copy(update={"metrics": read_json(files[f"{one.data}_{one.split}/{one.method}/{one.seed}"])})


def _texts(frame: Any, title: str) -> list[str]:
    """The table as csv in full precision, and as Markdown, LaTeX and HTML with one decimal."""
    if not isinstance(frame, pd.DataFrame):
        raise InputError(f"{title}: table must return a pandas.DataFrame, found {type(frame).__name__}: correct it")
    shown = frame.map(lambda value: f"{value:.1f}" if isinstance(value, float) else str(value))
    rows = [list(map(str, shown.columns)), ["---"] * shown.shape[1], *shown.values.tolist()]
    markdown = "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows)
    page = (
        '<!doctype html>\n<html lang="en">\n<meta'
        f' charset="utf-8">\n<title>{html.escape(title)}</title>\n<h1>{html.escape(title)}</h1>\n'
    )
    latex = (
        shown.style.hide(axis="index").format(escape="latex").format_index(escape="latex", axis=1).to_latex(hrules=True)
    )
    return [
        frame.to_csv(index=False, lineterminator="\n"),
        f"{title}\n\n{markdown}\n",
        latex,
        page + shown.to_html(index=False) + "\n</html>\n",
    ]
