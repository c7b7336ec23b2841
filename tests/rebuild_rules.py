"""Which rule a job of a dry run is of, and a record of the results folder."""

from __future__ import annotations

import re
from pathlib import Path

from tiny import RULES as TINY_RULES

from stars.audit.check import current
from stars.config import Config
from stars.pipeline import configuration

RULES = {
    **TINY_RULES,
    "Join setups": "join",
    "Map": "map",
    "Report": "report_page",
    "Comparison": "comparison_page",
    "Claims": "judge_claims",
    "Train": "train",
    "Take a network": "network",
    "Add features": "ensemble",
    "Add features of another data set": "ensemble_elsewhere",
    **{f"Add scores ({protocol})": f"{protocol}_of_ensemble" for protocol in ("linear", "finetune")},
    "Joint positions": "joints",
    "Joint positions of another data set": "joints_elsewhere",
    "Protocol centroid": "plugin_protocol",
    "Table mine": "plugin_table",
    "Read raw files of a setup": "ingest_setup",
    "Figure 1": "draw_fig1",
    "Figure 3": "draw_sweep",
    **{f"Table {number}": "table" for number in range(1, 12)},
}
DRAWN = {
    "fig1": "draw_fig1",
    "fig3a": "draw_sweep",
    "fig3b": "draw_sweep",
    "fig4": "draw_fig4",
    "fig6": "draw_fig6",
    "curves": "draw_curves",
}


def jobs(text: str) -> dict[str, tuple[str, str]]:
    """Each job of a dry run: its message → its rule, and why it runs."""
    found = re.findall(r"^Job \d+: (([^:\n]+).*)\nReason: (.*)$", text, re.MULTILINE)
    return {message: (RULES[title], reason) for message, title, reason in found}


def rule_of(place: Path, config: Config) -> str:
    """Rule that writes the record at `place`, from the results folder."""
    if place.parts[0] in ("tables", "figures"):
        return DRAWN.get(place.name.partition(".")[0], "table")
    if place.parts[0] == "claims":
        return "judge_claims"
    pages = {"curves.record.json": "draw_curves", "comparison.record.json": "comparison_page"}
    if place.name in pages or place.parts[0] == "report":
        return pages.get(place.name, "report_page")
    stage, names = current.place_of(place) or ("", {})
    if stage not in (current.MADE, "embed", "linear", "finetune"):
        return stage
    kind = configuration.method(config, names["data"], configuration.untag(config, names["folder"])[0]).kind
    if stage == current.MADE:
        return kind
    if stage != "embed":
        return f"{stage}_of_ensemble" if kind == "ensemble" else stage
    return f"{kind if kind in ('joints', 'ensemble') else 'embed'}{'_elsewhere' if 'target' in names else ''}"
