"""A table as csv (one line per cell, full precision), JSON, Markdown and LaTeX (booktabs)."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import asdict

from stars.paper.grid import Cell, Row, Table
from stars.provenance.files import json_text

FIELDS = (
    *("table", "origin", "group", "method", "reference", "citation", "recipe"),
    *("input", "backbone", "parameters", "operations", "training", "column"),
    *("value", "std", "rank", "reproduced", "seeds", "values", "source", "reason"),
)


def as_csv(table: Table) -> str:
    """One line per cell. `values` and `source` (their files) are in the order of `seeds`, joined by ";"."""
    text = io.StringIO()
    writer = csv.DictWriter(text, FIELDS, restval="", lineterminator="\n")
    writer.writeheader()
    for row in table.rows:
        for column in table.columns:
            writer.writerow(_line(table.number, row, column.key))
    return text.getvalue()


def _line(number: int | str, row: Row, column: str) -> dict[str, object]:
    cell = row.cells[column]
    return {
        "table": number,
        "origin": row.origin,
        "group": row.group,
        "method": row.method,
        "reference": "" if row.reference is None else row.reference,
        "citation": row.citation,
        "recipe": row.recipe,
        **row.stub,
        "column": column,
        "value": cell.words if cell.value is None else cell.value,
        "std": "" if cell.std is None else cell.std,
        "rank": cell.rank or "",
        "reproduced": "*" if cell.reproduced else "",
        "seeds": ";".join(map(str, cell.seeds)),
        "values": ";".join(map(str, cell.values)),
        "source": ";".join(cell.sources),
        "reason": cell.reason,
    }


def as_json(table: Table) -> str:
    """The table's content as plain data, for the report page and other programs."""
    reasons = table.reasons()
    rows = [
        {
            **asdict(row),
            "facts": table.facts(row),
            "cells": [_shown(row, row.cells[column.key], reasons) for column in table.columns],
        }
        for row in table.rows
    ]
    columns = [asdict(column) for column in table.columns]
    head = {"number": table.number, "title": table.title, "caption": table.caption, "lead": table.lead}
    told = {**head, "columns": columns, "rows": rows}
    return json_text({**told, "reasons": {mark: reason for reason, mark in reasons.items()}, "notes": table.notes})


def _shown(row: Row, cell: Cell, reasons: dict[str, str]) -> dict[str, object]:
    return {**asdict(cell), "text": cell.text(row.origin), "mark": reasons.get(cell.reason, "")}


def as_markdown(table: Table) -> str:
    """GitHub's table syntax; the two lines of a heading are joined."""
    reasons = table.reasons()
    heads = [*table.lead, *(f"{column.group} {column.title}".strip() for column in table.columns)]
    lines = [
        f"**{_md(table.caption)}**",
        "",
        _md_row([_md(head) for head in heads]),
        _md_row(["---"] * len(table.lead) + ["---:"] * len(table.columns)),
    ]
    for group, rows in table.groups():
        if group:
            lines.append(_md_row([f"*{_md(group)}*"] + [""] * (len(heads) - 1)))
        for row in rows:
            cells = [_md_cell(row.cells[column.key], row, reasons) for column in table.columns]
            lines.append(_md_row([*map(_md, table.facts(row)), *cells]))
    notes = [*(f"<sup>{mark}</sup> {_md(reason)}" for reason, mark in reasons.items()), *map(_md, table.notes)]
    return (
        "\n".join([*lines, "", *(f"- {note}" for note in [*_ranks_note(table, "**best**", "<u>second</u>"), *notes])])
        + "\n"
    )


def _ranks_note(table: Table, best: str, second: str) -> list[str]:
    return [f"Best in a column {best}, second {second}."] if table.ranks else []


def _md_cell(cell: Cell, row: Row, reasons: dict[str, str]) -> str:
    text = _md(cell.text(row.origin))
    mark = f"<sup>{reasons[cell.reason]}</sup>" if cell.reason else ""
    return {1: f"**{text}**", 2: f"<u>{text}</u>"}.get(cell.rank, text) + mark


def _md_row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _md(text: str) -> str:
    """Escape text for Markdown with HTML."""
    text = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|~#])", r"\\\1", text)


LATEX = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "−": "$-$", "±": r"$\pm$", "–": "--",
    "²": r"\textsuperscript{2}", "“": "``", "”": "''", "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}",
    **{char: "\\" + char for char in "&%$#_{}"},
}  # fmt: skip


def _tex(text: str) -> str:
    return "".join(LATEX.get(char, char) for char in " ".join(text.split()))


def as_latex(table: Table) -> str:
    """A table environment no wider than the page, with notes below; needs the packages booktabs and graphicx."""
    reasons = table.reasons()
    lead = len(table.lead)
    width = lead + len(table.columns)
    lines = [
        f"% Table {table.number}; needs \\usepackage{{booktabs,graphicx}}",
        r"\begin{table*}",
        r"\centering\footnotesize\setlength{\tabcolsep}{4pt}",
        rf"\caption{{{_tex(table.caption)}}}",
        rf"\label{{tab:stars-{table.number}}}",
        r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
        rf"\begin{{tabular}}{{{'l' * lead}{'c' * len(table.columns)}}}",
        r"\toprule",
        *_tex_heading(table, lead),
    ]
    for group, rows in table.groups():
        lines += [r"\midrule", *([rf"\multicolumn{{{width}}}{{l}}{{\textit{{{_tex(group)}}}}} \\"] if group else [])]
        lines += [_tex_row(table, row, reasons) for row in rows]
    lines += [r"\bottomrule", r"\end{tabular}}", r"\par\smallskip\raggedright\footnotesize"]
    notes = [rf"\textsuperscript{{{mark}}}\,{_tex(reason)}" for reason, mark in reasons.items()] + [
        _tex(note) for note in table.notes
    ]
    lines += [rf"{note}\par" for note in [*_ranks_note(table, r"\textbf{bold}", r"\underline{underlined}"), *notes]]
    return "\n".join([*lines, r"\end{table*}"]) + "\n"


def _tex_heading(table: Table, lead: int) -> list[str]:
    top, rules, start = [""] * lead, "", lead + 1
    for text, span in table.headings():
        top.append(rf"\multicolumn{{{span}}}{{c}}{{{_tex(text)}}}")
        rules += rf"\cmidrule(lr){{{start}-{start + span - 1}}}"
        start += span
    heads = [*map(_tex, table.lead), *(_tex(column.title) for column in table.columns)]
    return [*([" & ".join(top) + r" \\", rules] if rules else []), " & ".join(heads) + r" \\"]


def _tex_row(table: Table, row: Row, reasons: dict[str, str]) -> str:
    def cell(cell: Cell) -> str:
        text = _tex(cell.text(row.origin))
        mark = rf"\textsuperscript{{{reasons[cell.reason]}}}" if cell.reason else ""
        return {1: rf"\textbf{{{text}}}", 2: rf"\underline{{{text}}}"}.get(cell.rank, text) + mark

    return (
        " & ".join([*map(_tex, table.facts(row)), *(cell(row.cells[column.key]) for column in table.columns)]) + r" \\"
    )
