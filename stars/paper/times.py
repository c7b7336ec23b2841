"""Figure 1: accuracy of the linear protocol against training time, this run's points beside the published accuracies."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from stars import figure_style
from stars.config import Settings, key
from stars.errors import InputError, shown
from stars.evaluation.statistics import mean_std
from stars.paper import published
from stars.paper.inputs import Panel, write_csv
from stars.paper.results import Accuracy, accuracy, whole
from stars.provenance.files import read_json
from stars.provenance.record import recording

UNITS = (("hours", 3600.0), ("minutes", 60.0), ("seconds", 1.0))
PICTURED = ("published; the paper", "gives times only", "as a picture")
REACH = 15.0  # points below this run's least accuracy down to which published ones are drawn
COLUMNS = ("method", "origin", "seconds", "top1", "std", "hardware")
NAMES = ("fig1.svg", "fig1.png", "fig1.csv")


class Trained(Panel):
    """A method, and the trainings behind its encoder."""

    trainings: tuple[str, ...] = key((), "methods whose training times add up to its own; empty: it is not trained")


class Fig1Stage(Settings):
    """What Figure 1 shows."""

    methods: tuple[Trained, ...] = key(..., "methods, a point each")
    seeds: tuple[int, ...] = key(..., "seeds of training; a point is their mean", min_length=1)
    column: str = key(..., "column of Table 1 whose published values are drawn beside them")
    counts: tuple[int, int] | None = key(None, "training and test clips of the paper's complete data; null: the data is not the paper's")
    data_title: str = key(..., "data set's name in the title")
    split_title: str = key(..., "split's name in the title")


def fig1(settings: Fig1Stage, files: Mapping[str, Path], printed: Path, out: Path) -> None:
    """Write out/fig1.svg, .png, .csv (method, origin, seconds, top1, std, hardware) and .record.json.

    Published accuracies are drawn where the data is the paper's own and complete. The paper gives its training times as a picture
    alone, so these accuracies stand at the margin, without a time.

    Args:
        files: {method}/{seed} → metrics.json of the linear protocol; record/{training}/{seed} → record.json.
        printed: folder with the published tables.

    Raises:
        InputError: a file that is missing, or is not what it should be.
    """
    inputs = {**published.sources(printed, 1), **files}
    with recording(out, __name__, settings.model_dump(mode="json"), inputs, NAMES, "fig1.record.json"):
        measured = [_measure(settings, method, files) for method in settings.methods]
        cited = _cited(printed, settings.column) if measured and all(complete for _, complete in measured) else []
        table = pd.DataFrame([*(point for point, _ in measured), *cited], columns=list(COLUMNS))
        write_csv(out / "fig1.csv", table)
        _draw(settings, table, out)


def training_seconds(path: Path) -> tuple[float, str]:
    """Wall time of a training, all runs that it took together, and the hardware of the last; InputError if the record is none."""
    record = read_json(path)
    try:
        earlier = [leg["seconds"] for leg in record["notes"].get("earlier_runs", [])]
        return float(record["wall_seconds"]) + sum(map(float, earlier)), _machine(record["hardware"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{path} is not the record of a training ({shown(error)}): train again") from None


def duration(seconds: float) -> str:
    """45 s, 3 min 20 s, 2 h 5 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    return f"{whole // 60} min {whole % 60} s" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60} min"


def _machine(hardware: Mapping[str, Any]) -> str:
    """The GPU, or the processor and its threads."""
    if hardware.get("gpu"):
        return str(hardware["gpu"])
    threads = int(hardware.get("threads", hardware["cores"]))
    return f"{hardware['cpu']}, {threads} thread{'s' if threads > 1 else ''}"


def _measure(settings: Fig1Stage, method: Trained, files: Mapping[str, Path]) -> tuple[dict[str, object], bool]:
    """One line of the csv, means over seeds, and whether it was measured on the paper's complete data."""
    found = [_headline(files[f"{method.method}/{seed}"]) for seed in settings.seeds]
    times = [[training_seconds(files[f"record/{one}/{seed}"]) for one in method.trainings] for seed in settings.seeds]
    mean, std = mean_std([one.top1 for one in found])
    seconds, _ = mean_std([sum(seconds for seconds, _ in one) for one in times])
    hardware = "; ".join(dict.fromkeys(name for one in times for _, name in one))
    line = {"method": method.title, "origin": "this run", "seconds": seconds, "top1": mean, "std": std, "hardware": hardware}
    return line, all(whole(one.clips, settings.counts) for one in found)


def _headline(path: Path) -> Accuracy:
    found, _ = accuracy(path, {})
    assert found is not None, "nothing was wanted but the headline"
    return found


def _cited(printed: Path, column: str) -> list[dict[str, object]]:
    rows = [row for row in published.load(printed, 1).rows if column in row.values]
    return [{"method": row.cited, "origin": "published", "top1": row.values[column]} for row in rows]


def _draw(settings: Fig1Stage, table: pd.DataFrame, out: Path) -> None:
    ours, cited = (table[table["origin"] == origin] for origin in ("this run", "published"))
    with figure_style.figure(3.9 if cited.empty else 4.9) as drawn:
        axes = drawn.subplots(1, 1 + (not cited.empty), squeeze=False, sharey=True, width_ratios=[9, 4][: 1 + (not cited.empty)])[0]
        if ours.empty:
            figure_style.say(axes[0], "no method of this configuration is trained")
        else:
            _points(axes[0], ours)
        if not cited.empty:
            _margin(axes[1], cited, ours["top1"].min())
        drawn.suptitle(figure_style.fitted(f"Linear protocol against training time, {settings.data_title} {settings.split_title}"))
        drawn.legend(loc="outside lower center", ncols=3, frameon=False)
        figure_style.save(drawn, out / "fig1")


def _points(axis: Axes, ours: pd.DataFrame) -> None:
    unit, seconds = next(((unit, size) for unit, size in UNITS if ours["seconds"].max() >= 2 * size), UNITS[-1])
    for index, point in enumerate(ours.itertuples()):
        error = None if pd.isna(point.std) else point.std
        look: dict[str, Any] = {
            "marker": figure_style.marker(index),
            "color": figure_style.colour(index),
            "markersize": 8,
            "linestyle": "",
            "capsize": 3,
        }
        axis.errorbar(point.seconds / seconds, point.top1, error, label=point.method, **look)
    longest = max(ours["seconds"].max() / seconds, 1e-9)
    axis.set_xlim(-0.03 * longest, 1.06 * longest)
    axis.margins(y=0.12)
    axis.locator_params(axis="x", nbins=5)
    axis.grid(color="#e4e4e4", linewidth=0.6)
    axis.set_axisbelow(True)
    where = "; ".join(dict.fromkeys(ours["hardware"]))
    axis.set(xlabel=f"training time, {unit}\n({where})", ylabel="top-1 accuracy, %")


def _margin(axis: Axes, cited: pd.DataFrame, least: float) -> None:
    """Published accuracies without a time, as hollow marks with their names; those far below this run's are only named."""
    values = cited.sort_values("top1")
    below, shown = values[values["top1"] < least - REACH], values[values["top1"] >= least - REACH]
    axis.plot(np.zeros(len(shown)), shown["top1"], marker="o", linestyle="", color="#5c5c5c", fillstyle="none", markersize=5)
    low, high = axis.get_ylim()
    for place, point in zip(apart(shown["top1"], 0.052 * (high - low), high), shown.itertuples(), strict=True):
        line = {"arrowstyle": "-", "color": "#b0b0b0", "linewidth": 0.6, "shrinkA": 0, "shrinkB": 3, "relpos": (0, 0.5)}
        text: dict[str, Any] = {"xytext": (0.14, place), "va": "center", "fontsize": 8, "color": "#3c3c3c", "annotation_clip": False}
        axis.annotate(point.method, (0, point.top1), arrowprops=line, **text)
    names = [f"{point.method} {point.top1:.1f}" for point in below.itertuples()]
    axis.set_xlabel("\n".join([*PICTURED, *(["below: " + ", ".join(names)] if names else [])]), fontsize=8)
    axis.set(xlim=(-0.05, 1), xticks=[])
    axis.tick_params(left=False, labelleft=False)
    axis.spines[["bottom", "left"]].set_visible(False)


def apart(places: Iterable[float], gap: float, top: float = math.inf) -> list[float]:
    """Ascending places moved as little as that takes to stand `gap` apart, none above `top`: each cluster is spread about its own centre."""
    clusters: list[list[float]] = []
    for place in places:
        clusters.append([place])
        while len(clusters) > 1 and _low(clusters[-2], gap, top) + gap * len(clusters[-2]) > _low(clusters[-1], gap, top):
            last = clusters.pop()
            clusters[-1] += last
    return [_low(cluster, gap, top) + gap * index for cluster in clusters for index in range(len(cluster))]


def _low(cluster: list[float], gap: float, top: float) -> float:
    """The lowest place of a cluster that is spread."""
    width = gap * (len(cluster) - 1)
    return min(sum(cluster) / len(cluster) - width / 2, top - width)
