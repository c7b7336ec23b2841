"""Figure 1: accuracy of the linear protocol against training time, beside the published accuracies."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullLocator

from stars import figure_style
from stars.config import Settings, key
from stars.errors import InputError, shown
from stars.evaluation.statistics import mean_std
from stars.paper import labels, published
from stars.paper.inputs import Panel, write_csv
from stars.paper.results import Accuracy, accuracy, whole
from stars.provenance.files import read_json
from stars.provenance.record import recording

UNITS = (("hours", 3600.0), ("minutes", 60.0), ("seconds", 1.0))
PICTURED = ("published; the paper", "gives times only", "as a picture")
REACH = 15.0  # published accuracies are drawn down to this many points below this run's lowest
COLUMNS = ("method", "origin", "seconds", "top1", "std", "hardware")
# size of a mark and of a label, and the distance from which a line connects them, in points
MARK, NAME, LINED = 6.0, 8.0, 8.0
# Okabe and Ito's blue and vermilion
OURS, PUBLISHED, INK, LINE = figure_style.colour(0), figure_style.colour(3), "#3c3c3c", "#8a8a8a"
NAMES = ("fig1.svg", "fig1.png", "fig1.csv")


class Trained(Panel):
    """A method and its encoder's trainings."""

    trainings: tuple[str, ...] = key((), "methods whose training times are added; empty: not trained")


class Fig1Stage(Settings):
    """Settings of Figure 1."""

    methods: tuple[Trained, ...] = key(..., "methods, one point each")
    seeds: tuple[int, ...] = key(..., "seeds of training; a point is their mean", min_length=1)
    column: str = key(..., "column of Table 1 with the published values")
    counts: tuple[int, int] | None = key(
        None, "training and test clips of the paper's complete data; null: the data is not the paper's"
    )
    data_title: str = key(..., "data set's name in the title")
    split_title: str = key(..., "split's name in the title")


def fig1(settings: Fig1Stage, files: Mapping[str, Path], printed: Path, out: Path) -> None:
    """Write out/fig1.svg, .png, .csv (method, origin, seconds, top1, std, hardware) and .record.json.

    Published accuracies are drawn only if the data is the paper's complete data. They are at the margin, without
    a time, because the paper gives training times only as a picture.

    Args:
        files: {method}/{seed} → metrics.json of the linear protocol; record/{training}/{seed} → record.json.
        printed: folder with the published tables.

    Raises:
        InputError: a file is missing or invalid.
    """
    inputs = {**published.sources(printed, 1), **files}
    with recording(out, __name__, settings.model_dump(mode="json"), inputs, NAMES, "fig1.record.json"):
        measured = [_measure(settings, method, files) for method in settings.methods]
        cited = _cited(printed, settings.column) if measured and all(complete for _, complete in measured) else []
        table = pd.DataFrame([*(point for point, _ in measured), *cited], columns=list(COLUMNS))
        write_csv(out / "fig1.csv", table)
        _draw(settings, table, out)


def training_seconds(path: Path) -> tuple[float, str]:
    """Total wall time of a training over all its runs, and the hardware of the last; InputError if the file is not a
    record.
    """
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
    """The GPU, or the CPU and its threads."""
    if hardware.get("gpu"):
        return str(hardware["gpu"])
    threads = int(hardware.get("threads", hardware["cores"]))
    return f"{hardware['cpu']}, {threads} thread{'s' if threads > 1 else ''}"


def _measure(settings: Fig1Stage, method: Trained, files: Mapping[str, Path]) -> tuple[dict[str, object], bool]:
    """A method's line of the csv, mean over seeds, and whether it was measured on the paper's complete data."""
    found = [_headline(files[f"{method.method}/{seed}"]) for seed in settings.seeds]
    times = [[training_seconds(files[f"record/{one}/{seed}"]) for one in method.trainings] for seed in settings.seeds]
    mean, std = mean_std([one.top1 for one in found])
    seconds, _ = mean_std([sum(seconds for seconds, _ in one) for one in times])
    hardware = "; ".join(dict.fromkeys(name for one in times for _, name in one))
    line = {
        "method": method.title,
        "origin": "this run",
        "seconds": seconds,
        "top1": mean,
        "std": std,
        "hardware": hardware,
    }
    return line, all(whole(one.clips, settings.counts) for one in found)


def _headline(path: Path) -> Accuracy:
    found, _ = accuracy(path, {})
    assert found is not None, "only the main result was requested"
    return found


def _cited(printed: Path, column: str) -> list[dict[str, object]]:
    rows = [row for row in published.load(printed, 1).rows if column in row.values]
    return [{"method": row.cited, "origin": "published", "top1": row.values[column]} for row in rows]


def _draw(settings: Fig1Stage, table: pd.DataFrame, out: Path) -> None:
    ours, cited = (table[table["origin"] == origin] for origin in ("this run", "published"))
    both = 1 + (not cited.empty)
    with figure_style.figure(3.6 + 0.07 * max(len(ours), len(cited))) as drawn:
        axes = drawn.subplots(1, both, squeeze=False, sharey=True, width_ratios=[9, 4][:both])[0]
        if ours.empty:
            figure_style.say(axes[0], "no method of this configuration is trained")
        else:
            _points(
                axes[0],
                ours,
                f"this run, mean ± std of {len(settings.seeds)} seeds" if len(settings.seeds) > 1 else "this run",
            )
        if not cited.empty:
            values = cited.sort_values("top1")
            near = values["top1"] >= ours["top1"].min() - REACH
            _margin(axes[1], values[near], values[~near])
        drawn.suptitle(
            figure_style.fitted(f"Linear protocol against training time, {settings.data_title} {settings.split_title}")
        )
        drawn.legend(loc="outside lower center", ncols=2, frameon=False)
        figure_style.settle(drawn)
        if not ours.empty:
            _name(axes[0], ours)
        if not cited.empty:
            _list(axes[1], values[near])
        figure_style.save(drawn, out / "fig1")


def _points(axis: Axes, ours: pd.DataFrame, label: str) -> None:
    unit, seconds = _unit(ours)
    times = ours["seconds"] / seconds
    look: dict[str, Any] = {"marker": "o", "color": OURS, "markersize": MARK, "linestyle": "", "capsize": 2}
    axis.errorbar(
        times, ours["top1"], None if ours["std"].isna().all() else ours["std"], elinewidth=1, label=label, **look
    )
    least, longest = times.min(), times.max()
    if least > 0 and longest > 8 * least:
        axis.set_xscale("log")
        axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.xaxis.set_minor_locator(NullLocator())
        axis.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axis.set_xlim(least / 1.5, longest * 1.5)
    else:
        room = max(0.3 * (longest - least), 0.05 * longest, 1e-9)
        axis.set_xlim(
            min(0, least - 0.03 * longest) if least < longest / 2 else least - room,
            longest + min(room, 0.1 * longest + 1e-9),
        )
        axis.locator_params(axis="x", nbins=6)
    axis.margins(y=0.12)
    axis.grid(color="#e4e4e4", linewidth=0.6)
    axis.set_axisbelow(True)
    where = textwrap.fill("; ".join(dict.fromkeys(ours["hardware"])), figure_style.LINE)
    axis.set(
        xlabel=f"training time, {unit}{', logarithmic' * (axis.get_xscale() == 'log')}\n({where})",
        ylabel="top-1 accuracy, %",
    )


def _unit(ours: pd.DataFrame) -> tuple[str, float]:
    return next(((unit, size) for unit, size in UNITS if ours["seconds"].max() >= 2 * size), UNITS[-1])


def _name(axis: Axes, ours: pd.DataFrame) -> None:
    """The method's name beside each point, with a line to it where they are apart. Call it when the axes have their
    place.
    """
    axis.autoscale(False)  # lines to names leave the axes as they are
    texts = [
        axis.text(0, 0, textwrap.fill(name, 26), va="center", ha="center", fontsize=NAME, color=INK)
        for name in ours["method"]
    ]
    scale, moves, back = axis.figure.dpi / 72, axis.transData, axis.transData.inverted()
    times, std = ours["seconds"] / _unit(ours)[1], ours["std"].fillna(0)
    low, high = (moves.transform(np.column_stack([times, ours["top1"] + sign * std])) for sign in (-1, 1))
    marks = np.concatenate([low - scale * MARK / 2, high + scale * MARK / 2], axis=1) / scale
    sizes = np.array([text.get_window_extent().size for text in texts]) / scale
    places = labels.beside(marks, sizes, np.asarray(axis.bbox.extents) / scale)
    for text, place, size, point in zip(texts, places, sizes, (low + high) / 2 / scale, strict=True):
        x, y = back.transform(place * scale)
        text.set_position((x, y))
        end = np.clip(point, place - size / 2, place + size / 2)
        if np.linalg.norm(end - point) > LINED:
            axis.plot(*back.transform(np.array([point, end]) * scale).T, color=LINE, linewidth=0.6, zorder=1.5)


def _margin(axis: Axes, near: pd.DataFrame, below: pd.DataFrame) -> None:
    """Draw published accuracies, without a time, as hollow marks; list those far below this run's by name."""
    look: dict[str, Any] = {
        "marker": "D",
        "linestyle": "",
        "color": PUBLISHED,
        "fillstyle": "none",
        "markersize": MARK - 1,
    }
    axis.plot(np.zeros(len(near)), near["top1"], label="published", **look)
    names = [f"{point.method} {point.top1:.1f}" for point in below.itertuples()]
    axis.set_xlabel(
        "\n".join([*PICTURED, *textwrap.wrap("below: " + ", ".join(names) if names else "", 22)]), fontsize=8
    )
    axis.set(xlim=(-0.05, 1), xticks=[])
    axis.tick_params(left=False, labelleft=False)
    axis.spines[["bottom", "left"]].set_visible(False)


def _list(axis: Axes, near: pd.DataFrame) -> None:
    """List the methods of published accuracies in ascending order, with a line to each mark. Call after the layout."""
    low, high = axis.get_ylim()
    row = 1.3 * NAME * (high - low) / (axis.bbox.height * 72 / axis.figure.dpi)
    for place, point in zip(labels.apart(near["top1"], row, high), near.itertuples(), strict=True):
        line = {"arrowstyle": "-", "color": LINE, "linewidth": 0.6, "shrinkA": 0, "shrinkB": 3, "relpos": (0, 0.5)}
        text: dict[str, Any] = {
            "xytext": (0.14, place),
            "va": "center",
            "fontsize": NAME,
            "color": INK,
            "annotation_clip": False,
        }
        axis.annotate(point.method, (0, point.top1), arrowprops=line, **text)
