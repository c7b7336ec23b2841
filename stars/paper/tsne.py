"""Figure 4: t-SNE of test features, one panel a method, the same classes and clips in each."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from stars import figure_style
from stars.config import Settings, key
from stars.errors import InputError
from stars.evaluation.projection import perplexity, tsne, unit
from stars.paper.inputs import Panel, class_names, read_clips, write_csv
from stars.provenance.files import read_npy
from stars.provenance.record import recording

LEAST_CLIPS = 8
Looks: TypeAlias = dict[int, tuple[str, str]]


class Features(Panel):
    """One method, and which of its outputs is drawn."""

    output: str = key("encoder", "module whose output is drawn")


class Fig4Stage(Settings):
    """What Figure 4 shows."""

    seed: int = key(..., "seed of t-SNE", ge=0)
    panels: tuple[Features, ...] = key(..., "methods, side by side", min_length=1)
    classes: int = key(15, "action classes drawn, spread evenly over the data set's", ge=1)
    perplexity: float = key(30.0, "t-SNE's perplexity; lowered to a third of the clips where there are too few", gt=0)
    data_title: str = key(..., "data set's name in the title")
    split_title: str = key(..., "split's name in the title")


def fig4(settings: Fig4Stage, clips: Path, test: Path, features: Mapping[str, Path], out: Path) -> None:
    """Write out/fig4.svg, .png, .csv (method, name, label, action_name, x, y) and .record.json.

    Args:
        clips: folder of the clip store.
        test: the split's test file, row indices into clips.csv.
        features: method → float array (test clips, channels), rows in the order of `test`.

    Raises:
        InputError: features that are not one finite row a test clip; a method without features; too few clips to draw.
    """
    lacking = [panel.method for panel in settings.panels if panel.method not in features]
    if lacking:
        raise InputError(f"fig4 draws method {lacking[0]}, of which no features were given")
    used = {panel.method: features[panel.method] for panel in settings.panels}
    inputs = {"clips": clips / "clips.csv", "test": test, **{f"features of {method}": path for method, path in used.items()}}
    table = read_clips(clips)
    tested = table.iloc[_rows(test, len(table))]
    names = class_names(table)
    chosen = spread(list(names), settings.classes)
    rows = np.flatnonzero(tested["label"].isin(chosen))
    if len(rows) < LEAST_CLIPS:
        raise InputError(f"fig4: {len(rows)} test clips in the chosen classes, t-SNE needs {LEAST_CLIPS}: raise fig4.classes")
    matrices = {method: _features(path, len(tested))[rows] for method, path in used.items()}
    with recording(
        out, __name__, settings.model_dump(mode="json"), inputs, ["fig4.svg", "fig4.png", "fig4.csv"], "fig4.record.json"
    ) as notes:
        notes.update(clips=len(rows), classes=len(chosen), perplexity=perplexity(settings.perplexity, len(rows)))
        points = [_points(settings, method, matrix, tested.iloc[rows]) for method, matrix in matrices.items()]
        write_csv(out / "fig4.csv", pd.concat(points))
        _draw(settings, points, {label: names[label] for label in chosen}, _looks(list(names)), out)


def spread(labels: list[int], count: int) -> list[int]:
    """`count` labels at even distances, first and last included; all where there are fewer."""
    if count >= len(labels):
        return labels
    return [labels[round(place)] for place in np.linspace(0, len(labels) - 1, count)]


def _rows(path: Path, clips: int) -> np.ndarray:
    rows = read_npy(path)
    if rows.ndim != 1 or rows.dtype.kind not in "iu" or (len(rows) and (rows.min() < 0 or rows.max() >= clips)):
        raise InputError(f"{path} must hold row indices from 0 to {clips - 1}: make the splits again")
    return rows


def _features(path: Path, clips: int) -> np.ndarray:
    matrix = read_npy(path)
    if matrix.ndim != 2 or len(matrix) != clips or not np.isfinite(matrix).all():
        raise InputError(f"{path} must hold {clips} rows of finite numbers, one a test clip, not {matrix.shape}: embed again")
    return matrix


def _points(settings: Fig4Stage, method: str, matrix: np.ndarray, clips: pd.DataFrame) -> pd.DataFrame:
    xy = tsne(unit(matrix), perplexity(settings.perplexity, len(matrix)), settings.seed)
    points = clips.assign(x=xy[:, 0], y=xy[:, 1])
    points.insert(0, "method", method)
    return points


def _looks(labels: list[int]) -> Looks:
    """Label → marker and colour, by its place among all classes of the data set."""
    return {label: (figure_style.marker(place), figure_style.class_colour(place, len(labels))) for place, label in enumerate(labels)}


def _draw(settings: Fig4Stage, points: list[pd.DataFrame], names: dict[int, str], looks: Looks, out: Path) -> None:
    columns = min(3, len(points))
    named = any(panel.output != "encoder" for panel in settings.panels)
    lines, legend = math.ceil(len(points) / columns), 3 if max(map(len, names.values())) < 26 else 2
    side = min(figure_style.WIDTH / columns, 4.6)
    what = f"{settings.data_title} {settings.split_title}: {len(names)} classes, {len(points[0]):,} clips"
    head = figure_style.fitted(f"t-SNE of test features, {what}")
    titles = [figure_style.fitted(f"{panel.title}, {panel.output}" if named else panel.title, columns) for panel in settings.panels]
    above = 0.2 * (head.count("\n") + lines * max(title.count("\n") for title in titles))
    height = (0.3 if columns > 1 else 0.45) + above + lines * (side + 0.2) + 0.22 * math.ceil(len(names) / legend)
    with figure_style.figure(height) as drawn:
        axes = drawn.subplots(lines, columns, squeeze=False).ravel()
        for axis, title, table in zip(axes, titles, points, strict=False):
            _scatter(axis, title, table, names, looks)
        for axis in axes[len(points) :]:
            axis.axis("off")
        drawn.suptitle(head)
        handles = [
            Line2D([], [], linestyle="", marker=looks[label][0], color=looks[label][1], markersize=6, label=name)
            for label, name in names.items()
        ]
        drawn.legend(handles=handles, loc="outside lower center", ncols=legend, frameon=False, handletextpad=0.1, columnspacing=1.2)
        figure_style.save(drawn, out / "fig4")


def _scatter(axis: Axes, title: str, points: pd.DataFrame, names: dict[int, str], looks: Looks) -> None:
    size = float(np.clip(3000 / len(points), 4, 26))
    for label in names:
        of, (marker, colour) = points[points["label"] == label], looks[label]
        axis.scatter(of["x"], of["y"], s=size, marker=marker, color=colour, linewidths=0, alpha=0.85)
    centre, half = _square(points)
    axis.set(
        title=title,
        xticks=[],
        yticks=[],
        box_aspect=1,
        xlim=(centre[0] - half, centre[0] + half),
        ylim=(centre[1] - half, centre[1] + half),
    )
    axis.spines[["top", "right"]].set_visible(True)
    axis.spines[:].set_color("#b0b0b0")


def _square(points: pd.DataFrame) -> tuple[np.ndarray, float]:
    """Centre and half side of the square around all points: the same scale on both axes."""
    xy = points[["x", "y"]].to_numpy()
    low, high = xy.min(axis=0), xy.max(axis=0)
    return (low + high) / 2, 0.54 * float((high - low).max())
