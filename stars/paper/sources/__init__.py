"""Settings and input files of the paper's tables and figures."""

from __future__ import annotations

from stars.config import Config
from stars.config.paper import FIGURES, TABLES
from stars.paper.sources import figures, tables
from stars.paper.sources.claims import claims, claims_if_any
from stars.paper.sources.common import HYPERPARAMETERS, QUICKSTART, Drawing, place
from stars.paper.sources.comparison import comparison, comparison_runs
from stars.paper.sources.figures import SWEEPS, curve_runs, curves
from stars.paper.sources.hyperparameters import hyperparameters
from stars.paper.sources.report import report

__all__ = [
    "FIGURES",
    "HYPERPARAMETERS",
    "QUICKSTART",
    "SWEEPS",
    "TABLES",
    "Drawing",
    "claims",
    "claims_if_any",
    "comparison",
    "comparison_runs",
    "curve_runs",
    "curves",
    "figure",
    "place",
    "report",
    "table",
]


def table(config: Config, number: int) -> Drawing:
    """Settings and input files of Table `number`."""
    return hyperparameters(config, number) if number in HYPERPARAMETERS else tables.table(config, number)


def figure(config: Config, name: str) -> Drawing:
    """Settings and input files of a figure; training curves: of the first run."""
    if name in SWEEPS:
        return figures.sweep(config, name)
    if name == "curves":
        return curves(config, *curve_runs(config)[0])
    return {"fig1": figures.fig1, "fig4": figures.fig4, "fig6": figures.fig6}[name](config)
