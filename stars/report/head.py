"""The head of the page: data, dates, source, main numbers, and the result of an audit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from stars.paper import recount
from stars.provenance import code, intact
from stars.provenance.lineage import Record
from stars.report.explorer import Explorer
from stars.report.lineage import Graph

MOST = 6  # tables with a number at the head
NAMED = 20  # findings listed on the page


def head(
    tables: Sequence[Mapping[str, Any]],
    qualities: Sequence[Mapping[str, Any]],
    explorers: Sequence[Explorer],
    graph: Graph,
) -> dict[str, Any]:
    """Context of the page's head.

    Args:
        tables, qualities: content about tables and data; explorers: their settings, of which the first names the main
            method.
        graph: the records behind it.
    """
    main = explorers[0].first_title if explorers else ""
    numbers = [number for one in tables if (number := _number(one, main))]
    return {
        "facts": [
            ("Data", "; ".join(f"{one['title']}, {one['tiles'][0][1]} clips" for one in qualities)),
            ("Results of", _dates([record.told["started"][:10] for record in graph.records])),
            ("Made by", _commits([record.told["code"] for record in graph.records])),
        ],
        "numbers": numbers[:MOST],
        "audit": _audit(graph),
    }


def _number(table: Mapping[str, Any], main: str) -> dict[str, Any] | None:
    """The main method's number, or the best one, in the first column with values of this run; None if there is none."""
    rows = [row for group in table["groups"] for row in group["rows"] if row["class"] == "own"]
    for at, column in enumerate(table["columns"]):
        own = [
            (row["cells"][at]["value"], row["facts"][0], row["cells"][at])
            for row in rows
            if row["cells"][at]["value"] is not None
        ]
        if own:
            _, best, top = max(own, key=lambda one: one[0])
            _, name, cell = next((one for one in own if one[1] == main), max(own, key=lambda one: one[0]))
            more = "" if name == best else f"; best: {best}, {top['text']} %"
            where = f"{column['group']} {column['title'].removesuffix(' (%)')}"
            return {
                "label": ", ".join(filter(None, (f"Table {table['number']}", table.get("title"), where))),
                "value": f"{cell['text']} %",
                "note": f"{name}{more}",
                "from": cell["from"],
            }
    return None


def _dates(days: Sequence[str]) -> str:
    return " to ".join(dict.fromkeys((min(days), max(days)))) if days else "an unknown day"


def _commits(sources: Sequence[Mapping[str, Any]]) -> str:
    """All states of the source behind the results, each once."""
    states = sorted(
        {(one["commit"] or "", bool(one["dirty"]), "" if one["commit"] else one["digest"][:9]) for one in sources}
    )
    words = [
        f"commit {commit[:9]}{' with changes' if dirty else ''}" if commit else f"source {digest}"
        for commit, dirty, digest in states
    ]
    return ", ".join(words[:3]) + (f" and {len(words) - 3} more" if len(words) > 3 else "")


def _audit(graph: Graph) -> dict[str, Any]:
    """Whether all files behind the page matched their records when the page was made."""
    files = intact.Files(Path())
    makers = {path: record for record in graph.records for path in record.outputs}
    there = sum(files[path] is not None for path in makers)
    findings = sorted({str(line) for line in _findings(graph, files, makers)})
    return {
        "passed": not findings,
        "findings": findings[:NAMED],
        "count": len(findings),
        "files": there,
        "absent": len(makers) - there,
        "records": len(graph.records),
    }


def _findings(graph: Graph, files: intact.Files, makers: Mapping[Path, Record]) -> Iterator[str]:
    for record in graph.records:
        for path, gone in intact.outputs(record, files):
            if not gone:
                yield f"{graph.noted(path)} differs from its record"
        for path, _ in intact.inputs(record, makers, files):
            if path in makers:
                yield f"{graph.noted(record.path)}: made from another version of {graph.noted(path)}"
        for path, one in recount.of_record(record, files):
            yield f"{graph.noted(path)}: {one}"
        if record.told["code"]["digest"] != code.today(record.stage):
            yield f"{graph.noted(record.path)}: made by an earlier version of {record.stage}"
