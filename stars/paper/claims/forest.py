"""The forest plot: the difference and interval of each test, in units of the smallest difference that matters."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from stars import figure_style

if TYPE_CHECKING:
    from stars.paper.claims.judge import Found, Test

COLOURS = {"supported": 2, "contradicted": 3, "no difference": 0, "cannot tell": 6}
MARKS = {"supported": "o", "contradicted": "X", "no difference": "s", "cannot tell": "D"}
WIDEST = 12.0  # limit of the axis, in units of `matters`; longer intervals end in an arrow


def draw(rows: Sequence[tuple[Test, Found]], stem: Path) -> None:
    """Save the plot as stem.svg and stem.png. Differences in the claimed direction are positive."""
    rows = [(test, found) for test, found in rows if test.expect != "at_most"]
    with figure_style.figure(1.3 + 0.44 * max(len(rows), 2), width=8.6) as drawn:
        axis = drawn.subplots()
        if not rows:
            figure_style.say(axis, "this configuration tests no claim on accuracy or clusters")
        else:
            _rows(axis, rows)
        figure_style.save(drawn, stem)


def _rows(axis: figure_style.Axes, rows: Sequence[tuple[Test, Found]]) -> None:
    edge = min(
        WIDEST, 1.1 * max(2.0, *(abs(end) / test.matters for test, found in rows for end in (found.low, found.high)))
    )
    axis.axvspan(-1, 1, color="#ececec", linewidth=0)
    axis.axvline(0, color="#777777", linewidth=0.8)
    labels, met = [], dict.fromkeys(found.verdict for _, found in rows)
    for place, (test, found) in enumerate(rows):
        unit = (-1 if test.expect == "lower" else 1) / test.matters
        low, high = sorted((found.low * unit, found.high * unit))
        colour = figure_style.colour(COLOURS[found.verdict])
        axis.plot([max(low, -edge), min(high, edge)], [place, place], color=colour, linewidth=1.6)
        for end in (low, high):
            if abs(end) > edge:
                axis.plot(
                    math.copysign(edge, end), place, ">" if end > 0 else "<", color=colour, markersize=5, clip_on=False
                )
        inside = 0.95 * edge if max(-low, high) > edge else edge  # beside the arrow, not on it
        value = min(max(found.difference * unit, -inside), inside)
        axis.plot(value, place, MARKS[found.verdict], color=colour, markersize=6)
        labels.append(
            "\n".join(
                textwrap.wrap(
                    f"{test.methods[0]} − {test.methods[1]}, {test.what}, {test.where}", 56, break_on_hyphens=False
                )
            )
        )
    axis.set_yticks(range(len(rows)), labels, fontsize=7.5)
    axis.set_ylim(len(rows) - 0.5, -0.5)
    axis.set_xlim(-edge, edge)
    axis.set_xlabel("difference ÷ smallest that matters\n(right: as claimed; grey: too small to matter)", fontsize=9)
    handles = [
        axis.plot([], [], MARKS[name], color=figure_style.colour(COLOURS[name]), label=name)[0]
        for name in COLOURS
        if name in met
    ]
    axis.legend(handles=handles, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=len(handles), frameon=False)
