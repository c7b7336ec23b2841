"""Figures 3a and 3b: accuracy of the KNN protocol against one setting of stage 2."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import pandas as pd

from stars import figure_style
from stars.config import Settings, key
from stars.errors import InputError
from stars.evaluation.statistics import mean_std
from stars.paper.inputs import Panel, write_csv
from stars.paper.results import accuracy
from stars.provenance.record import recording

COLUMNS = ("method", "value", "top1", "std", "seeds", "base")


class Point(Panel):
    """A method and its value of the setting."""

    value: float = key(..., "value of the setting")
    base: bool = key(False, "the method that is varied")


class SweepStage(Settings):
    """Settings of Figure 3a or 3b."""

    name: Literal["fig3a", "fig3b"] = key(..., "figure")
    setting: str = key(..., "the varied setting, in words")
    points: tuple[Point, ...] = key(..., "methods, in the order of their values")
    seeds: tuple[int, ...] = key(..., "seeds of training; a point is their mean", min_length=1)
    k: int = key(10, "neighbours of the KNN protocol", ge=1)
    data_title: str = key(..., "data set's name in the title")
    split_title: str = key(..., "split's name in the title")


def sweep(settings: SweepStage, files: Mapping[str, Path], out: Path) -> None:
    """Write out/{name}.svg, .png, .csv (method, value, top1, std, seeds, base) and .record.json. Without points, the
    figure says so.

    Args:
        files: {method}/{seed} → metrics.json of the KNN protocol.

    Raises:
        InputError: a file is missing, is not a metrics file, or has no entry of the encoder's output at this k.
    """
    names = [f"{settings.name}.{ending}" for ending in ("svg", "png", "csv")]
    with recording(out, __name__, settings.model_dump(mode="json"), files, names, f"{settings.name}.record.json"):
        table = pd.DataFrame([_measure(settings, point, files) for point in settings.points], columns=list(COLUMNS))
        write_csv(out / f"{settings.name}.csv", table)
        _draw(settings, table, out)


def _measure(settings: SweepStage, point: Point, files: Mapping[str, Path]) -> dict[str, object]:
    values = []
    for seed in settings.seeds:
        path = files[f"{point.method}/{seed}"]
        found, _ = accuracy(path, {"output": "encoder", "k": settings.k})
        if found is None:
            raise InputError(f"{path} has no result of the encoder's output at k = {settings.k}: add it to knn.k")
        values.append(found.top1)
    mean, std = mean_std(values)
    return {
        "method": point.title,
        "value": point.value,
        "top1": mean,
        "std": std,
        "seeds": len(values),
        "base": point.base,
    }


def _draw(settings: SweepStage, table: pd.DataFrame, out: Path) -> None:
    with figure_style.figure(3.6) as drawn:
        axis = drawn.subplots()
        axis.set(xlabel=settings.setting, ylabel=f"KNN, k = {settings.k}, top-1 accuracy, %")
        axis.set_title(f"{settings.data_title} {settings.split_title}")
        if table.empty:
            figure_style.say(axis, "the method to vary is not configured")
        else:
            places = range(len(table))
            axis.errorbar(
                places,
                table["top1"],
                table["std"].astype(float),
                color=figure_style.colour(0),
                marker="o",
                markersize=6,
                capsize=3,
            )
            base = table[table["base"]]
            if len(base):
                axis.set_xlabel(f"{settings.setting} (ring: {base['method'].iloc[0]})")
            axis.plot(
                base.index,
                base["top1"],
                marker="o",
                markersize=11,
                fillstyle="none",
                linestyle="",
                color=figure_style.colour(3),
            )
            for place, point in enumerate(table.itertuples()):
                axis.annotate(
                    f"{point.top1:.1f}",
                    (place, point.top1),
                    (0, 9),
                    textcoords="offset points",
                    ha="center",
                    fontsize=9,
                )
            axis.set_xticks(places, [f"{value:g}" for value in table["value"]])
            axis.margins(x=0.1, y=0.25)
            axis.grid(axis="y", color="#e4e4e4", linewidth=0.6)
        figure_style.save(drawn, out / settings.name)
