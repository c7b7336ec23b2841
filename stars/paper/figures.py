"""The figures, by name."""

from stars.paper.confusion import Fig6Stage, fig6
from stars.paper.curves import CurvesStage, curves
from stars.paper.inputs import Panel
from stars.paper.tsne import Fig4Stage, fig4

__all__ = ["CurvesStage", "Fig4Stage", "Fig6Stage", "Panel", "curves", "fig4", "fig6"]
