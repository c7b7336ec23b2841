"""The verdicts on the paper's claims for the page, and the clips behind each."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stars.provenance.files import read_json
from stars.report.lineage import Graph

CLASSES = {
    "supported": "yes",
    "contradicted": "no",
    "no difference": "none",
    "cannot tell": "open",
    "not tested": "open",
}


def claims(path: Path, graph: Graph) -> dict[str, Any]:
    """Context of a claims.json: its rows, each with the numbers of its files, and counts of verdicts."""
    content = read_json(path)
    rows = [
        {
            **{
                name: one[name]
                for name in (
                    "says",
                    "source",
                    "reason",
                    "where",
                    "what",
                    "compared",
                    "claimed",
                    "difference",
                    "p",
                    "verdict",
                    "seen",
                )
            },
            "number": number,
            "class": CLASSES[one["verdict"]],
            "from": graph.numbers(one["files"]),
            "gained": len(one["found"]["gained"]) if one["found"] else 0,
            "lost": len(one["found"]["lost"]) if one["found"] else 0,
            "trainings": _trainings(one["found"]),
        }
        for number, one in enumerate(content["claims"])
    ]
    return {
        "rows": rows,
        "counts": content["counts"],
        "notes": content["notes"],
        "file": graph.numbers([path]),
        "clips": _clips(content["claims"]),
    }


def _trainings(found: Mapping[str, Any] | None) -> str:
    return (
        "; ".join(f"training {number}: {value:+.2f}" for number, value in enumerate(found["trainings"], 1))
        if found
        else ""
    )


def _clips(verdicts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Run of each row, and the clips that only one method classifies correctly, for the explorer."""
    empty: dict[str, list[str]] = {"gained": [], "lost": []}
    return [{"run": one["run"], **{side: (one["found"] or empty)[side] for side in empty}} for one in verdicts]
