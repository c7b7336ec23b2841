"""A table of the paper for the template: each number with its source files."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import Any

from stars.provenance.files import read_json
from stars.report.lineage import Graph

CLASSES = {"published": "published", "this run": "own", "difference": "difference", "p-value": "test"}
RANKED = ("published", "this run")  # rows that sorting orders; differences and p-values stay below


def table(path: Path, graph: Graph) -> dict[str, Any]:
    """Context of a table{N}.json: rows in groups, `from` of a cell are the numbers of its files, empty without a
    value.
    """
    content = read_json(path)
    groups = [
        {"title": title, "ranked": ranked, "rows": [_row(row, path, graph) for row in rows]}
        for (title, ranked), rows in groupby(content["rows"], lambda row: (row["group"], row["origin"] in RANKED))
    ]
    heads = [
        (title, len(list(columns))) for title, columns in groupby(content["columns"], lambda column: column["group"])
    ]
    return {
        **content,
        "groups": groups,
        "heads": heads if any(title for title, _ in heads) else [],
        "file": graph.numbers([path]),
    }


def _row(row: dict[str, Any], path: Path, graph: Graph) -> dict[str, Any]:
    cells = [_cell(row, cell, path, graph) for cell in row["cells"]]
    return {"facts": row["facts"], "cells": cells, "class": CLASSES[row["origin"]]}


def _cell(row: dict[str, Any], cell: dict[str, Any], path: Path, graph: Graph) -> dict[str, Any]:
    sources = cell["sources"] or ([path] if cell["value"] is not None else [])
    seeds = "; ".join(f"seed {seed}: {value:.2f}" for seed, value in zip(cell["seeds"], cell["values"], strict=False))
    return {**cell, "from": graph.numbers(sources), "seeds": seeds, "of": f"{row['method']}"}
