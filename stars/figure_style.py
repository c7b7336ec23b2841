"""How every figure looks, and how it is saved: no display, one font, colours that colour-blind readers tell apart,
the same bytes each time.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from stars.palette import OKABE_ITO, colours
from stars.provenance.files import atomic

WIDTH = 5.2  # inches; printed in one column of 3.4 in, text of 7.5 to 10 pt is 5 to 6.5 pt high
LINE = 60  # characters of a title that fit on it
LEAST = 7.5  # points, the smallest text
DPI = 150
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
PARAMETERS: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.titlesize": 10.5,
    "axes.labelsize": 10,
    "figure.titlesize": 11.5,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.fontsize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "figure.facecolor": "white",
    "figure.dpi": DPI,
    "savefig.dpi": DPI,
    "svg.hashsalt": "stars",
    "svg.fonttype": "path",
    "text.parse_math": False,
    "text.usetex": False,
}


@contextmanager
def figure(
    height: float, width: float = WIDTH, layout: Literal["constrained", "compressed"] | None = "constrained"
) -> Iterator[Figure]:
    """An empty figure of so many inches, in this package's style and nobody else's. compressed: for axes of a fixed
    aspect; None: axes are placed by hand.
    """
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(PARAMETERS)
        drawn = Figure(figsize=(width, height), layout=layout)
        FigureCanvasAgg(drawn)
        yield drawn


def settle(drawn: Figure) -> None:
    """Give everything its place, and keep it there: what is drawn afterwards may be placed by pixels."""
    drawn.draw_without_rendering()
    drawn.set_layout_engine("none")


def save(drawn: Figure, stem: Path) -> None:
    """Write stem.svg and stem.png, without dates or versions in them. Call it inside `figure`."""
    for ending, metadata in (("svg", {"Date": None, "Creator": None}), ("png", {"Software": None})):
        with atomic(stem.with_name(f"{stem.name}.{ending}")) as path:
            drawn.savefig(path, format=ending, metadata=metadata)


def fitted(text: str, columns: int = 1) -> str:
    """A title in as many lines as it needs over a figure, or over each of so many panels side by side, these of
    about one length.
    """
    most = LINE // columns
    lines = len(textwrap.wrap(text, most))
    return next(
        filled
        for width in range(max(most // 2, 1), most + 1)
        if (filled := textwrap.fill(text, width)).count("\n") < max(lines, 1)
    )


def one_line(drawn: Figure, text: str, size: float, width: float) -> tuple[str, float]:
    """A title on one line of so many inches: the text, cut short where it must be, and its size in points, down to
    LEAST.
    """
    measured = drawn.text(0, 0, text, fontsize=size)
    wide = measured.get_window_extent().width / drawn.dpi
    size = min(size, max(LEAST, size * width / wide))
    measured.set_fontsize(size)
    kept = text
    while len(kept) > 1 and measured.get_window_extent().width / drawn.dpi > width:
        kept = kept[:-1]
        measured.set_text(kept.rstrip() + "…")
    measured.remove()
    return measured.get_text(), size


def say(axis: Axes, text: str) -> None:
    """Why nothing is drawn here, in place of it."""
    axis.text(0.5, 0.5, text, ha="center", va="center", transform=axis.transAxes, color="#5c5c5c")
    axis.set(xticks=[], yticks=[])


def colour(index: int) -> str:
    """Colour of the index-th thing; with `marker` each of the first 56 looks different."""
    return OKABE_ITO[index % len(OKABE_ITO)]


def class_colour(place: int, classes: int) -> str:
    """Colour of a class, by its place among all classes of its data set: the same in every figure and on the report
    page.
    """
    return colours(classes)[place]


def marker(index: int) -> str:
    """Marker of the index-th thing."""
    return MARKERS[index % len(MARKERS)]
