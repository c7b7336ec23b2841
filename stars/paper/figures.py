"""The figures, by name."""

from stars.paper.confusion import Fig6Stage, fig6
from stars.paper.curves import CurvesStage, curves
from stars.paper.inputs import Panel
from stars.paper.sweep import SweepStage, sweep
from stars.paper.times import Fig1Stage, fig1
from stars.paper.tsne import Fig4Stage, fig4

__all__ = [
    "CurvesStage",
    "Fig1Stage",
    "Fig4Stage",
    "Fig6Stage",
    "Panel",
    "SweepStage",
    "curves",
    "fig1",
    "fig4",
    "fig6",
    "sweep",
]
