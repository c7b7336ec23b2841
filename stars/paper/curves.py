"""Training curves: loss and learning rate, one panel per method."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from stars import figure_style
from stars.config import Settings, key
from stars.errors import InputError
from stars.paper.inputs import Panel, read_csv, write_csv
from stars.provenance.record import recording

COLUMNS = ("step", "epoch", "loss", "lr")
FEW = 30  # curves of fewer rows are drawn with markers, without smoothing


class CurvesStage(Settings):
    """Settings of the training curves' figure."""

    panels: tuple[Panel, ...] = key(..., "methods, one panel each", min_length=1)
    data_title: str = key(..., "data set's name in the title")
    split_title: str = key(..., "split's name in the title")


def curves(settings: CurvesStage, files: Mapping[str, Path], out: Path) -> None:
    """Write out/curves.svg, .png, .csv (method, then the columns of curve.csv) and .record.json.

    Args:
        files: method → curve.csv with at least step, epoch, loss and lr; no rows if the method was not trained.

    Raises:
        InputError: a file is missing, lacks one of these columns, or contains something other than numbers.
    """
    lacking = [panel.method for panel in settings.panels if panel.method not in files]
    if lacking:
        raise InputError(f"curves: no curve.csv for method {lacking[0]}: train it, or remove it from the figure")
    inputs = {panel.method: files[panel.method] for panel in settings.panels}
    tables = {method: _read(path) for method, path in inputs.items()}
    names = ["curves.svg", "curves.png", "curves.csv"]
    with recording(out, __name__, settings.model_dump(mode="json"), inputs, names, "curves.record.json"):
        merged = [table.assign(method=method) for method, table in tables.items()]
        columns = ["method", *dict.fromkeys(column for table in tables.values() for column in table)]
        write_csv(out / "curves.csv", pd.concat(merged).reindex(columns=columns))
        _draw(settings, tables, out)


def smooth(values: np.ndarray, window: int) -> np.ndarray:
    """Centred moving mean over `window` values; over fewer at the ends."""
    return pd.Series(values).rolling(window, center=True, min_periods=1).mean().to_numpy()


def _read(path: Path) -> pd.DataFrame:
    table = read_csv(path, COLUMNS)
    try:
        return table.astype(dict.fromkeys(COLUMNS, float)).astype({"step": int})
    except ValueError as error:
        raise InputError(f"{path}: {error}; step, epoch, loss and lr must be numbers: train again") from None


def _draw(settings: CurvesStage, tables: Mapping[str, pd.DataFrame], out: Path) -> None:
    with figure_style.figure(0.5 + 2.3 * math.ceil(len(tables) / 2)) as drawn:
        for axis, panel in zip(_axes(drawn, len(tables)), settings.panels, strict=True):
            _panel(axis, panel.title, tables[panel.method])
        drawn.suptitle(figure_style.fitted(f"Training, {settings.data_title} {settings.split_title}"))
        figure_style.save(drawn, out / "curves")


def _axes(drawn: Figure, count: int) -> list[Axes]:
    """Two panels a row; the first of an odd number has a row of its own."""
    odd = count % 2
    grid = drawn.add_gridspec((count + odd) // 2, 2)
    places = [grid[place // 2, place % 2] for place in range(2 * odd, count + odd)]
    return [drawn.add_subplot(place) for place in [grid[0, :]] * odd + places]


def _panel(axis: Axes, title: str, table: pd.DataFrame) -> None:
    axis.set_title(title, loc="left")
    if table.empty:
        figure_style.say(axis, "not trained")
        return
    _loss(axis, table["epoch"].to_numpy(), table["loss"].to_numpy())
    axis.set_xlim(0, float(table["epoch"].max()))
    axis.set_ylim(bottom=min(0, float(table["loss"].min())))
    axis.set_xlabel("epoch")
    axis.set_ylabel("loss", color=figure_style.colour(0))
    rate = axis.twinx()
    rate.plot(table["epoch"], table["lr"], color=figure_style.colour(3), linewidth=1.2, linestyle="--")
    rate.set_ylabel("learning rate", color=figure_style.colour(3))
    rate.ticklabel_format(axis="y", style="sci", scilimits=(-2, 2), useMathText=False)
    rate.set_ylim(bottom=0)
    rate.spines["right"].set_visible(True)


def _loss(axis: Axes, epoch: np.ndarray, loss: np.ndarray) -> None:
    """Draw the loss of each row; if there are many, pale and with the moving mean on top."""
    if len(loss) < FEW:
        axis.plot(epoch, loss, color=figure_style.colour(0), linewidth=1.4, marker="o", markersize=3)
        return
    axis.plot(epoch, loss, color=figure_style.colour(0), linewidth=0.6, alpha=0.35)
    axis.plot(epoch, smooth(loss, len(loss) // FEW), color=figure_style.colour(0), linewidth=1.8)
