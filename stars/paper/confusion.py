"""Figure 6: confusion matrix of the KNN protocol, and the pairs of actions it confuses most."""

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

LABELLED = 30  # classes up to which each cell shows its percentage
DIGIT = 0.64  # width of a digit, of the size of the text


class Fig6Stage(Settings):
    """What Figure 6 shows."""

    title: str = key(..., "method's name in the title")
    k: int = key(10, "neighbours of the KNN protocol", ge=1)
    pairs: int = key(20, "most confused pairs listed", ge=1)
    data_title: str = key(..., "data set's name in the title")
    split_title: str = key(..., "split's name in the title")


def fig6(settings: Fig6Stage, clips: Path, predictions: Path, out: Path) -> None:
    """Write out/fig6.svg, .png, .csv (true, predicted, count, share), out/fig6_pairs.csv and out/fig6.record.json.

    `share` is of the true class's test clips, 0–1.

    Args:
        clips: folder of the clip store, which names the classes.
        predictions: predictions.npz of the KNN protocol with name, label and predicted_k{K}, each (test clips,).

    Raises:
        InputError: no predictions for this k, or predictions that are not of this clip store.
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
    """(classes, classes) number of clips by true (row) and predicted (column) class, both in the order of `classes`
    (ascending).
    """
    counts = np.zeros((len(classes), len(classes)), dtype=np.int64)
    np.add.at(counts, (np.searchsorted(classes, label), np.searchsorted(classes, predicted)), 1)
    return counts


def shares(counts: np.ndarray) -> np.ndarray:
    """Each row divided by its sum; a class without test clips is a row of zeros."""
    return counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)


def confused(cells: pd.DataFrame, pairs: int) -> pd.DataFrame:
    """The most frequent (true, predicted) pairs of different classes; the more frequent first, then the larger
    share, then by name.
    """
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
            f"{predictions} holds clips or labels that {clips / 'clips.csv'} does not have: run the KNN protocol again"
        )
    if len(found[column]) != len(found["label"]) or not set(found[column].tolist()) <= set(classes):
        raise InputError(f"{predictions}: {column} must hold one known label a clip: run the KNN protocol again")
    if not len(found["label"]):
        raise InputError(f"{predictions} holds no clips: run the KNN protocol again")
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
        axis.set_title(f"{where}\n{counts.sum():,} test clips, {right:.1f} % right", fontsize=text)
        figure_style.save(drawn, out / "fig6")


def name_axes(axis: Axes, names: list[str]) -> None:
    """Classes along both axes, a fine grid between them."""
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
    """The percentage in each cell of half a percent and more, as large as fits the cell."""
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
