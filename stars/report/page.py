"""The report: tables, figures, an explorer of features and clips, data quality, fidelity, and the lineage of each
number.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stars import palette
from stars.config import Settings, key
from stars.data.dataset import Dataset
from stars.data.jointless import has_joints
from stars.data.store import FRAMES
from stars.errors import InputError
from stars.paper.tables import CHOICES
from stars.provenance.files import write_text
from stars.provenance.lineage import RESULTS
from stars.provenance.record import recording
from stars.report.claims import claims
from stars.report.document import picture, render
from stars.report.explorer import Explorer, explorer
from stars.report.head import head
from stars.report.lineage import Graph
from stars.report.quality import quality
from stars.report.tables import table

PAGE = "index.html"
WIDE = 450  # points; a wider figure has a row of its own


class Shown(Settings):
    """A table or figure."""

    name: str = key(..., "its role among the files: tableN, or a figure's")
    title: str = key(..., "heading")


class Data(Settings):
    """A data set whose quality is shown."""

    name: str = key(..., "its key")
    dataset: Dataset


class Departure(Settings):
    """A setting that is not the paper's."""

    setting: str = key(..., "dotted key")
    ours: str = key(..., "this run's value, as JSON")
    paper: str = key(..., "the paper's, as JSON")
    methods: tuple[str, ...] = key(..., "methods with this value")


class ReportStage(Settings):
    """Settings of the page."""

    shown: tuple[Shown, ...] = key((), "tables and figures, in order")
    explorers: tuple[Explorer, ...] = key((), "one a split")
    data: tuple[Data, ...] = key((), "data sets whose quality is shown")
    clips: int = key(600, "clips that can be played, shared by all explorers", ge=0)
    preset: str = key("paper", "preset that contested points default to")
    departures: tuple[Departure, ...] = key((), "settings that are not the paper's")


def report(settings: ReportStage, files: Mapping[str, Path], out: Path, results: Path = Path(RESULTS)) -> None:
    """Write out/index.html and record.json: the same bytes from the same files.

    Args:
        results: the results folder that they lie in. Where it lacks the clips' joints, as an unpacked archive does, no
            clip is played.
        files: role → what is read: a table's json or a figure's svg by its name; claims and forest, the verdicts and
            their plot; "{run}/{method}/map", "…/predictions", "…/metrics", "{run}/test"; "{data}/frames.npy" and what
            lies beside it, "{data}/suspicious.csv"; "record PATH" for each record behind them.

    Raises:
        InputError: a file is missing, damaged or does not fit the others.
    """
    files = {role: path for role, path in files.items() if not (path.name == FRAMES and not has_joints(path.parent))}
    for path in files.values():
        if not path.is_file():
            raise InputError(f"{path} is missing: run `snakemake report`, which makes it")
    with recording(out, __name__, settings.model_dump(mode="json"), files, [PAGE]) as notes:
        graph = Graph.of((path for role, path in files.items() if role.startswith("record ")), results)
        datasets = {entry.name: entry.dataset for entry in settings.data}
        tables = [table(files[one.name], graph) for one in settings.shown if one.name.startswith("table")]
        figures = [_figure(one, files, graph) for one in settings.shown if not one.name.startswith(("table", "claims"))]
        judged = (
            claims(files["claims"], graph) | {"picture": picture(files["forest"].read_bytes())}
            if "claims" in files
            else None
        )
        qualities = [quality(entry.name, entry.dataset, files, graph) for entry in settings.data]
        most = settings.clips // max(len(settings.explorers), 1)
        explorers = [explorer(one, files, datasets[one.data], most, graph) for one in settings.explorers]
        text = render(
            {
                "lineage": graph.data(),
                "explorers": explorers,
                "claims": judged["clips"] if judged else [],
                "palette": _palette([one["classes"] for one in explorers]),
            },
            claims=judged,
            explorers=[one["title"] for one in explorers],
            head=head(tables, qualities, settings.explorers, graph),
            tables=tables,
            figures=figures,
            qualities=qualities,
            **_fidelity(settings, tables),
        )
        write_text(out / PAGE, text)
        notes.update(bytes=len(text.encode()), points=sum(len(one["names"]) for one in explorers))


def _palette(classes: Sequence[Sequence[str]]) -> dict[str, tuple[str, ...]]:
    """A colour for each class, as in the figures, for light and dark pages."""
    count = max([*map(len, classes), len(palette.OKABE_ITO)])
    return {"light": palette.colours(count), "dark": palette.on_dark(count)}


def _figure(one: Shown, files: Mapping[str, Path], graph: Graph) -> dict[str, Any]:
    path = files[one.name]
    svg = path.read_bytes()
    return {
        "name": one.name,
        "title": one.title,
        "picture": picture(svg),
        "from": graph.numbers([path]),
        "wide": _width(svg) > WIDE,
    }


def _width(svg: bytes) -> float:
    """Width of a figure in points; 0 if it gives none."""
    found = re.search(rb'<svg[^>]* width="([\d.]+)pt"', svg)
    return float(found[1]) if found else 0.0


def _fidelity(settings: ReportStage, tables: list[dict[str, Any]]) -> dict[str, Any]:
    """Choices in the tables' notes, and all settings that differ from the paper's, with their methods unless all
    have them; a setting's name in parts, between which a line may break.
    """
    everyone = list(dict.fromkeys(method for one in settings.departures for method in one.methods))
    rows = [
        {**one.model_dump(), "parts": re.findall(r"[^._]+[._]?", one.setting), "who": _who(one.methods, everyone)}
        for one in settings.departures
    ]
    notes = [(one["number"], [note for note in one["notes"] if note.startswith(CHOICES)]) for one in tables]
    return {"preset": settings.preset, "departures": rows, "choices": [(number, own) for number, own in notes if own]}


def _who(methods: Sequence[str], everyone: Sequence[str]) -> str:
    others = [one for one in everyone if one not in methods]
    if len(others) < len(methods):
        return f"all but {'; '.join(others)}" if others else ""
    return "; ".join(methods)
