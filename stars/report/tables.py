"""A table of the paper as the template shows it: each number with the files that it comes from."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import Any

from stars.provenance.files import read_json
from stars.report.lineage import Graph

CLASSES = {"published": "published", "this run": "own", "difference": "difference", "p-value": "test"}
RANKED = ("published", "this run")  # what sorting orders; differences and p-values stay below


def table(path: Path, graph: Graph) -> dict[str, Any]:
    """Context of a table{N}.json: rows in groups, `from` of a cell the numbers of its files, empty where it has no value."""
    told = read_json(path)
    groups = [
        {"title": title, "ranked": ranked, "rows": [_row(row, path, graph) for row in rows]}
        for (title, ranked), rows in groupby(told["rows"], lambda row: (row["group"], row["origin"] in RANKED))
    ]
    heads = [(title, len(list(columns))) for title, columns in groupby(told["columns"], lambda column: column["group"])]
    return {**told, "groups": groups, "heads": heads if any(title for title, _ in heads) else [], "file": graph.numbers([path])}


def _row(row: dict[str, Any], path: Path, graph: Graph) -> dict[str, Any]:
    cells = [_cell(row, cell, path, graph) for cell in row["cells"]]
    return {"facts": row["facts"], "cells": cells, "class": CLASSES[row["origin"]]}


def _cell(row: dict[str, Any], cell: dict[str, Any], path: Path, graph: Graph) -> dict[str, Any]:
    sources = cell["sources"] or ([path] if cell["value"] is not None else [])
    seeds = "; ".join(f"seed {seed}: {value:.2f}" for seed, value in zip(cell["seeds"], cell["values"], strict=False))
    return {**cell, "from": graph.numbers(sources), "seeds": seeds, "of": f"{row['method']}"}
