"""Output of an evaluation: printed lines, tables and pictures."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from stars import figure_style
from stars.inference.evaluate import Evaluation
from stars.paper.confusion import LABELLED, confusion, name_axes, number_cells, shares
from stars.paper.inputs import write_csv
from stars.provenance.files import write_json
from stars.provenance.record import recording

if TYPE_CHECKING:
    import pandas as pd

PICTURES = ("confusion", "reliability", "learning_curve")
TABLES = ("methods.csv", "actions.csv", "predictions.csv")
SURE = 0.05  # significance level
WEAKEST = 3  # actions listed


def lines(found: Evaluation) -> Iterator[str]:
    """Lines of the verdict, most important first."""
    clips = found.labelled
    who = (
        f"{len(set(clips.groups))} subjects, each tested with a classifier trained on the others"
        if clips.groups
        else "no subjects known"
    )
    yield f"{len(clips.names)} clips, {len(clips.actions)} actions, {who}; {int(found.fold.max()) + 1} folds"
    if not clips.groups:
        yield "  accuracy on a new person may be lower: set subjects in clips.csv, or --group-by"
    for one in found.outcomes.values():
        low, high = one.interval95
        yield (
            f"{'→' if one.name == found.chosen else ' '} {one.title:<26} {one.accuracy:5.1f} % right   95 % interval"
            f" {low:.1f} to {high:.1f}"
        )
    yield f"use: {found.best.title}{_sureness(found)}; {found.honest:.1f} % by nested cross-validation"
    yield from _weakest(found)
    yield f"calibration error of the probabilities: {100 * found.reliability.error:.1f} points"
    if found.unknown is not None:
        unknown = found.unknown
        yield (
            f"none of these: {100 * unknown.found:.0f} % of {unknown.clips} clips whose action was left out of training"
            f" are detected, at {100 * unknown.false_alarms:.0f} % false alarms"
        )
    yield _growth(found)


def _sureness(found: Evaluation) -> str:
    p = found.p_value()
    if p is None:
        return ""
    if p >= SURE:
        return f" (not significantly better than the next: p = {p:.2f})"
    return f" ({'p < .001' if p < 0.001 else f'p = {p:.3f}'} against the next)"


def _weakest(found: Evaluation) -> Iterator[str]:
    table = found.per_action()
    weak = table[table["recall"] < 100].sort_values(["recall", "action"]).head(WEAKEST)
    if len(weak):
        yield "weakest: " + ", ".join(f"{row.action} {row.recall:.0f} % of {row.clips}" for row in weak.itertuples())
    if single := table[table["clips"] == 1]["action"].tolist():
        yield f"never recognised, with a single clip each: {', '.join(single)}"


def _growth(found: Evaluation) -> str:
    points = ", ".join(f"{accuracy:.0f} % with {clips}" for clips, accuracy in found.curve)
    ahead = found.forecast()
    return f"training clips per action: {points}" + ("" if ahead is None else f"; twice as many may give {ahead:.0f} %")


def summary(found: Evaluation) -> dict[str, Any]:
    """evaluation.json as plain data; accuracies in percent, probabilities 0 to 1."""
    clips, reliable = found.labelled, found.reliability
    methods = {
        one.name: {"title": one.title, "accuracy": round(one.accuracy, 4), "interval95": one.interval95}
        for one in found.outcomes.values()
    }
    return {
        "clips": len(clips.names),
        "actions": clips.actions,
        "subjects": sorted(set(clips.groups)) if clips.groups else None,
        "folds": int(found.fold.max()) + 1,
        "methods": methods,
        "chosen": found.chosen,
        "p_value": found.p_value(),
        "accuracy_of_the_choice": round(found.honest, 4),
        "calibration_error": round(reliable.error, 4),
        "none_of_these": found.unknown._asdict() if found.unknown else None,
        "learning_curve": [{"clips_an_action": size, "accuracy": round(accuracy, 4)} for size, accuracy in found.curve],
        "twice_the_clips": found.forecast(),
    }


def predictions(found: Evaluation) -> pd.DataFrame:
    """One row per clip: action, fold, and every classifier's cross-validated prediction with its probability."""
    import pandas as pd

    clips = found.labelled
    table = pd.DataFrame({"clip": clips.names, "action": [clips.actions[label] for label in clips.labels]})
    table["subject"], table["fold"] = clips.groups or "", found.fold
    for one in found.outcomes.values():
        table[one.name] = [clips.actions[label] for label in one.predicted]
        table[f"{one.name}_probability"] = one.probability.max(axis=1).round(4)
    return table


def write(found: Evaluation, out: Path, encoder: Path, settings: dict[str, Any]) -> None:
    """Write evaluation.json, methods.csv, actions.csv, predictions.csv, three pictures (svg and png) and record.json
    into folder `out`.
    """
    files = ["evaluation.json", *TABLES, *(f"{name}.{ending}" for name in PICTURES for ending in ("svg", "png"))]
    with recording(out, "stars.inference.evaluate", settings, {"encoder": encoder}, files):
        write_json(out / "evaluation.json", summary(found))
        for name, table in zip(TABLES, (found.methods(), found.per_action(), predictions(found)), strict=True):
            write_csv(out / name, table)
        wide = _wide(found)
        for name, draw, width in zip(
            PICTURES, (draw_confusion, draw_reliability, draw_curve), (wide, 4.0, 4.6), strict=True
        ):
            with figure_style.figure(0.93 * width if draw is draw_confusion else 3.6, width) as drawn:
                draw(drawn.subplots(), found)
                figure_style.save(drawn, out / name)


def _wide(found: Evaluation) -> float:
    """Inches for a confusion matrix with three digits per cell, and its labels."""
    return max(figure_style.WIDTH, 0.17 * len(found.labelled.actions) + 4.4)


def figure(found: Evaluation) -> Figure:
    """One figure with the three pictures."""
    wide = _wide(found)
    with figure_style.figure(0.8 * wide, 1.9 * wide) as drawn:
        left, right = cast(np.ndarray, drawn.subfigures(1, 2, width_ratios=[1.15, 0.75]))
        draw_confusion(left.subplots(), found)
        upper, lower = right.subplots(2, 1)
        draw_reliability(upper, found)
        draw_curve(lower, found)
        return drawn


def png(drawn: Figure) -> bytes:
    """The figure's bytes."""
    file = io.BytesIO()
    drawn.savefig(file, format="png", metadata={"Software": None})
    return file.getvalue()


def draw_confusion(axis: Axes, found: Evaluation) -> None:
    """Confusion matrix: share of each action's clips by prediction."""
    names = found.labelled.actions
    share = shares(confusion(found.labelled.labels, found.best.predicted, list(range(len(names)))))
    axis.imshow(share, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    name_axes(axis, names)
    if len(names) <= LABELLED:
        number_cells(axis, share)
    axis.set_title(
        f"{found.best.title}\n{len(found.labelled.names)} clips, {found.best.accuracy:.1f} % right; cells in % of a row"
    )


def draw_reliability(axis: Axes, found: Evaluation) -> None:
    """Accuracy by predicted probability; a dot's area is its number of clips."""
    reliable = found.reliability
    axis.plot([0, 1], [0, 1], color="#b9b9b9", linewidth=0.9)
    seen = reliable.clips > 0
    sizes = 12 + 160 * reliable.clips[seen] / reliable.clips.max()
    axis.scatter(reliable.said[seen], reliable.right[seen], s=sizes, color=figure_style.colour(0))
    axis.set(xlim=(-0.03, 1.05), ylim=(-0.03, 1.08), xlabel="predicted probability", ylabel="accuracy")
    axis.set_title(f"Reliability: {100 * reliable.error:.1f} points off")


def draw_curve(axis: Axes, found: Evaluation) -> None:
    """Accuracy by training clips per action, extrapolated to twice as many."""
    clips, accuracy = np.array(found.curve, float).reshape(-1, 2).T
    axis.plot(clips, accuracy, marker="o", color=figure_style.colour(0))
    ticks = list(clips)
    if (ahead := found.forecast()) is not None:
        line = [clips[-1], 2 * clips[-1]], [accuracy[-1], ahead]
        axis.plot(*line, "--o", color=figure_style.colour(0), markerfacecolor="white", markevery=[1])
        ticks.append(2 * clips[-1])
    axis.set_xscale("log", base=2)
    axis.set_xticks(ticks, [f"{tick:.0f}" for tick in ticks])
    axis.set_xticks([], minor=True)
    axis.set(ylim=(0, 103), xlabel="training clips per action", ylabel="accuracy, %", title="Learning curve")
