"""Figure 4: t-SNE of test features, one panel per method, with the same classes and clips."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from stars import figure_style
from stars.config import Settings, key
from stars.errors import InputError
from stars.evaluation.projection import perplexity, tsne, unit
from stars.paper.inputs import Panel, class_names, read_clips, write_csv
from stars.provenance.files import read_npy
from stars.provenance.record import recording

LEAST_CLIPS = 8
SIDE = 4.6  # maximum side of a panel, inches
Looks: TypeAlias = dict[int, tuple[str, str]]


class Features(Panel):
    """A method and the output that is drawn."""

    output: str = key("encoder", "module whose output is drawn")


class Fig4Stage(Settings):
    """Settings of Figure 4."""

    seed: int = key(..., "seed of t-SNE", ge=0)
    panels: tuple[Features, ...] = key(..., "methods, side by side", min_length=1)
    classes: int = key(15, "action classes drawn, spread evenly over all classes", ge=1)
    perplexity: float = key(30.0, "t-SNE's perplexity; limited to a third of the clips", gt=0)
    data_title: str = key(..., "data set's name in the title")
    split_title: str = key(..., "split's name in the title")


def fig4(settings: Fig4Stage, clips: Path, test: Path, features: Mapping[str, Path], out: Path) -> None:
    """Write out/fig4.svg, .png, .csv (method, name, label, action_name, x, y) and .record.json.

    Args:
        clips: folder of the clip store.
        test: the split's test file, row indices into clips.csv.
        features: method → float array (test clips, channels), rows in the order of `test`.

    Raises:
        InputError: features are not one finite row per test clip, a method has none, or there are too few clips.
    """
    lacking = [panel.method for panel in settings.panels if panel.method not in features]
    if lacking:
        raise InputError(f"fig4: no features of method {lacking[0]}: embed it, or remove it from the figure")
    used = {panel.method: features[panel.method] for panel in settings.panels}
    inputs = {
        "clips": clips / "clips.csv",
        "test": test,
        **{f"features of {method}": path for method, path in used.items()},
    }
    table = read_clips(clips)
    tested = table.iloc[_rows(test, len(table))]
    names = class_names(table)
    chosen = spread(list(names), settings.classes)
    rows = np.flatnonzero(tested["label"].isin(chosen))
    if len(rows) < LEAST_CLIPS:
        raise InputError(
            f"fig4: {len(rows)} test clips in the drawn classes, but t-SNE needs {LEAST_CLIPS}: raise fig4.classes"
        )
    matrices = {method: _features(path, len(tested))[rows] for method, path in used.items()}
    with recording(
        out,
        __name__,
        settings.model_dump(mode="json"),
        inputs,
        ["fig4.svg", "fig4.png", "fig4.csv"],
        "fig4.record.json",
    ) as notes:
        notes.update(clips=len(rows), classes=len(chosen), perplexity=perplexity(settings.perplexity, len(rows)))
        points = [_points(settings, method, matrix, tested.iloc[rows]) for method, matrix in matrices.items()]
        write_csv(out / "fig4.csv", pd.concat(points))
        _draw(settings, points, {label: names[label] for label in chosen}, _looks(list(names)), out)


def spread(labels: list[int], count: int) -> list[int]:
    """`count` evenly spaced labels, including first and last; all if there are fewer."""
    if count >= len(labels):
        return labels
    return [labels[round(place)] for place in np.linspace(0, len(labels) - 1, count)]


def _rows(path: Path, clips: int) -> np.ndarray:
    rows = read_npy(path)
    if rows.ndim != 1 or rows.dtype.kind not in "iu" or (len(rows) and (rows.min() < 0 or rows.max() >= clips)):
        raise InputError(f"{path} must contain row indices from 0 to {clips - 1}: make the splits again")
    return rows


def _features(path: Path, clips: int) -> np.ndarray:
    matrix = read_npy(path)
    if matrix.ndim != 2 or len(matrix) != clips or not np.isfinite(matrix).all():
        raise InputError(
            f"{path} must contain {clips} finite rows, one per test clip, found shape {matrix.shape}: embed again"
        )
    return matrix


def _points(settings: Fig4Stage, method: str, matrix: np.ndarray, clips: pd.DataFrame) -> pd.DataFrame:
    xy = tsne(unit(matrix), perplexity(settings.perplexity, len(matrix)), settings.seed)
    points = clips.assign(x=xy[:, 0], y=xy[:, 1])
    points.insert(0, "method", method)
    return points


def _looks(labels: list[int]) -> Looks:
    """Label → marker and colour, by its position among all classes of the data set."""
    return {
        label: (figure_style.marker(place), figure_style.class_colour(place, len(labels)))
        for place, label in enumerate(labels)
    }


def _draw(settings: Fig4Stage, points: list[pd.DataFrame], names: dict[int, str], looks: Looks, out: Path) -> None:
    titles = _titles(settings)
    with figure_style.figure(1) as drawn:
        columns, titles, size = _columns(drawn, titles)
        lines = math.ceil(len(points) / columns)
        legend = _legend(drawn, names, looks, f"{len(names)} classes, {len(points[0]):,} test clips")
        drawn.set_figheight(0.35 + lines * (min(figure_style.WIDTH / columns, SIDE) + 0.22) + legend)
        head, large = figure_style.one_line(
            drawn,
            f"t-SNE of test features, {settings.data_title} {settings.split_title}",
            11.5,
            0.97 * figure_style.WIDTH,
        )
        drawn.suptitle(head, fontsize=large)
        axes = drawn.subplots(lines, columns, squeeze=False).ravel()
        half = max(_half(table) for table in points)
        for axis, title, table in zip(axes, titles, points, strict=False):
            _scatter(axis, table, names, looks, half)
            axis.set_title(title, fontsize=size)
        for axis in axes[len(points) :]:
            axis.axis("off")
        figure_style.save(drawn, out / "fig4")


def _titles(settings: Fig4Stage) -> list[str]:
    named = any(panel.output != "encoder" for panel in settings.panels)
    return [f"{panel.title}, {panel.output}" if named else panel.title for panel in settings.panels]


def _columns(drawn: Figure, titles: list[str]) -> tuple[int, list[str], float]:
    """Number of panels side by side, at most three, so that each title fits on one line; the titles and their font
    size.
    """
    for columns in (len(titles),) if len(titles) < 3 else (2,) if len(titles) == 4 else (3, 2):
        fitted = [
            figure_style.one_line(drawn, title, 10.5, 0.94 * min(figure_style.WIDTH / columns, SIDE))
            for title in titles
        ]
        if [text for text, _ in fitted] == titles:
            break
    return columns, [text for text, _ in fitted], min(size for _, size in fitted)


def _legend(drawn: Figure, names: dict[int, str], looks: Looks, title: str) -> float:
    """Draw one legend for all panels, in as many columns as fit, and return its height in inches."""
    handles = [
        Line2D(
            [],
            [],
            linestyle="",
            marker=looks[label][0],
            color=looks[label][1],
            markersize=6,
            label=textwrap.shorten(name, 60, placeholder="…"),
        )
        for label, name in names.items()
    ]
    look: dict[str, Any] = {"frameon": False, "handletextpad": 0.1, "columnspacing": 1.2, "title": title}
    for columns in (4, 3, 2, 1):
        legend = drawn.legend(handles=handles, loc="outside lower center", ncols=columns, **look)
        box = legend.get_window_extent()
        if box.width < drawn.bbox.width or columns == 1:
            break
        legend.remove()
    return float(box.height / drawn.dpi)


def _scatter(axis: Axes, points: pd.DataFrame, names: dict[int, str], looks: Looks, half: float) -> None:
    """Draw one panel, centred on its points; all panels have the same scale, but no common origin."""
    size = float(np.clip(3000 / len(points), 4, 26))
    for label in names:
        of, (marker, colour) = points[points["label"] == label], looks[label]
        axis.scatter(of["x"], of["y"], s=size, marker=marker, color=colour, linewidths=0, alpha=0.85)
    x, y = ((points[name].min() + points[name].max()) / 2 for name in ("x", "y"))
    axis.set(xticks=[], yticks=[], box_aspect=1, xlim=(x - half, x + half), ylim=(y - half, y + half))
    axis.spines[["top", "right"]].set_visible(True)
    axis.spines[:].set_color("#b0b0b0")


def _half(points: pd.DataFrame) -> float:
    """Half the side of the square around a panel's points."""
    xy = points[["x", "y"]]
    return 0.54 * float((xy.max() - xy.min()).max())
