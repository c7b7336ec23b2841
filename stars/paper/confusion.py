"""Figure 6: the KNN protocol's confusion matrix and the action pairs that it confuses most."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from stars import figure_style
from stars.config import Settings, key
from stars.errors import InputError
from stars.paper.inputs import class_names, read_clips, write_csv
from stars.provenance.files import read_npz
from stars.provenance.record import recording

LABELLED = 30  # with at most this many classes, each cell shows its percentage
DIGIT = 0.64  # width of a digit, relative to the font size


class Fig6Stage(Settings):
    """Settings of Figure 6."""

    title: str = key(..., "method's name in the title")
    k: int = key(10, "neighbours of the KNN protocol", ge=1)
    pairs: int = key(20, "most confused pairs listed", ge=1)
    data_title: str = key(..., "data set's name in the title")
    split_title: str = key(..., "split's name in the title")


def fig6(settings: Fig6Stage, clips: Path, predictions: Path, out: Path) -> None:
    """Write out/fig6.svg, .png, .csv (true, predicted, count, share), out/fig6_pairs.csv and out/fig6.record.json.

    `share`: fraction of the true class's test clips, 0–1.

    Args:
        clips: folder of the clip store, for the class names.
        predictions: predictions.npz of the KNN protocol with name, label and predicted_k{K}, each (test clips,).

    Raises:
        InputError: no predictions for this k, or they do not match the clip store.
    """
    names = class_names(read_clips(clips))
    counts = _counts(settings, clips, predictions, list(names))
    inputs = {"clips": clips / "clips.csv", "predictions": predictions}
    files = ["fig6.svg", "fig6.png", "fig6.csv", "fig6_pairs.csv"]
    with recording(out, __name__, settings.model_dump(mode="json"), inputs, files, "fig6.record.json"):
        cells = _cells(counts, list(names.values()))
        write_csv(out / "fig6.csv", cells)
        write_csv(out / "fig6_pairs.csv", confused(cells, settings.pairs))
        _draw(settings, counts, list(names.values()), out)


def confusion(label: np.ndarray, predicted: np.ndarray, classes: list[int]) -> np.ndarray:
    """(classes, classes) counts of clips by true (row) and predicted (column) class; `classes` is ascending."""
    counts = np.zeros((len(classes), len(classes)), dtype=np.int64)
    np.add.at(counts, (np.searchsorted(classes, label), np.searchsorted(classes, predicted)), 1)
    return counts


def shares(counts: np.ndarray) -> np.ndarray:
    """Divide each row by its sum; a class without test clips gets zeros."""
    return counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)


def confused(cells: pd.DataFrame, pairs: int) -> pd.DataFrame:
    """The most frequent wrong (true, predicted) pairs, sorted by count, then share (both descending), then name."""
    wrong = cells[(cells["true"] != cells["predicted"]) & (cells["count"] > 0)]
    order = wrong.sort_values(
        ["count", "share", "true", "predicted"], ascending=[False, False, True, True], kind="stable"
    )
    return order.head(pairs)


def _counts(settings: Fig6Stage, clips: Path, predictions: Path, classes: list[int]) -> np.ndarray:
    column = f"predicted_k{settings.k}"
    found = read_npz(predictions, ("name", "label", column))
    table = read_clips(clips)
    truth = dict(zip(table["name"], table["label"], strict=True))
    if [truth.get(str(name)) for name in found["name"]] != found["label"].tolist():
        raise InputError(
            f"{predictions} has clips or labels that are not in {clips / 'clips.csv'}: run the KNN protocol again"
        )
    if len(found[column]) != len(found["label"]) or not set(found[column].tolist()) <= set(classes):
        raise InputError(f"{predictions}: {column} must have one known label per clip: run the KNN protocol again")
    if not len(found["label"]):
        raise InputError(f"{predictions} contains no clips: run the KNN protocol again")
    return confusion(found["label"], found[column], classes)


def _cells(counts: np.ndarray, names: list[str]) -> pd.DataFrame:
    classes = len(names)
    return pd.DataFrame(
        {
            "true": np.repeat(names, classes),
            "predicted": np.tile(names, classes),
            "count": counts.ravel(),
            "share": shares(counts).ravel(),
        }
    )


def _draw(settings: Fig6Stage, counts: np.ndarray, names: list[str], out: Path) -> None:
    classes = len(names)
    width = max(figure_style.WIDTH, 0.17 * classes + 2)
    right = 100 * np.trace(counts) / counts.sum()
    text = figure_style.PARAMETERS["figure.titlesize"] * (width / figure_style.WIDTH) ** 0.6
    with figure_style.figure(width * 0.93, width, "compressed") as drawn:
        axis = drawn.subplots()
        image = axis.imshow(shares(counts), cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
        name_axes(axis, names)
        if classes <= LABELLED:
            number_cells(axis, shares(counts))
        bar = drawn.colorbar(
            image, ax=axis, shrink=0.7, aspect=30, pad=0.02, format=lambda share, _: f"{100 * share:.0f} %"
        )
        bar.set_label("share of the true class's clips", fontsize=0.85 * text)
        bar.outline.set_visible(False)
        where = f"{settings.title}, {settings.data_title} {settings.split_title}: KNN, K = {settings.k}"
        axis.set_title(f"{where}\n{counts.sum():,} test clips, {right:.1f} % correct", fontsize=text)
        figure_style.save(drawn, out / "fig6")


def name_axes(axis: Axes, names: list[str]) -> None:
    """Label both axes with the classes and draw a grid between cells."""
    places, size = range(len(names)), 8 if len(names) <= LABELLED else 9
    axis.set_xticks(places, names, rotation=90, fontsize=size)
    axis.set_yticks(places, names, fontsize=size)
    axis.set(xlabel="predicted", ylabel="true")
    axis.tick_params(length=0)
    axis.set_xticks(np.arange(-0.5, len(names)), minor=True)
    axis.set_yticks(np.arange(-0.5, len(names)), minor=True)
    axis.grid(which="minor", color="#e4e4e4", linewidth=0.4)
    axis.tick_params(which="minor", length=0)
    axis.spines[:].set_visible(False)


def number_cells(axis: Axes, share: np.ndarray) -> None:
    """Write the percentage into each cell of at least half a percent, as large as fits."""
    width = _cell_width(axis, len(share))
    for row, column in np.argwhere(share >= 0.005):
        colour = "white" if share[row, column] > 0.55 else "black"
        text = f"{100 * share[row, column]:.0f}"
        size = min(7.5, width / (DIGIT * (len(text) + 0.4)))
        axis.text(column, row, text, ha="center", va="center", fontsize=size, color=colour)


def _cell_width(axis: Axes, classes: int) -> float:
    """Width of a cell in points, after layout."""
    drawn = axis.get_figure(root=True)
    assert drawn is not None
    drawn.draw_without_rendering()
    return float(axis.get_window_extent().width / classes * 72 / drawn.dpi)
