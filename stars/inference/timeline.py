"""Long recordings: windows as long as the labelled clips slide over them, and each moment takes the action that its windows make likeliest."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from stars import figure_style
from stars.errors import InputError
from stars.inference.classifier import NONE, Classifier
from stars.inference.clips import cut, recording
from stars.inference.files import File
from stars.inference.layouts import Layouts
from stars.provenance.files import atomic

NOBODY = "nobody"
OVERLAP = 4  # windows over each moment
QUIET = {NONE: "#d5d5d5", NOBODY: "#f2f2f2"}


class Segment(NamedTuple):
    """A stretch of a recording, in seconds, the action that it shows, and the mean probability of that action's windows."""

    start: float
    end: float
    action: str
    probability: float


def timeline(
    classifier: Classifier, file: File, layouts: Layouts, false_alarms: float, window: float | None = None, step: float | None = None
) -> list[Segment]:
    """The stretches of a recording, one after the other.

    Args:
        window, step: seconds that a window lasts, and from one to the next; None: as long as the labelled clips are in the middle, and a quarter of it.

    Raises:
        InputError: the file cannot be read, or a length is not above 0.
    """
    x_tmvc, rate = recording(file, layouts), layouts.preparation.fps or layouts.preparation.dataset.fps
    for name, value in (("window", window), ("step", step)):
        if value is not None and value * rate < 1:
            raise InputError(f"--{name} {value:g}: give at least the seconds of a frame, {1 / rate:.3g}")
    long = classifier.frames if window is None else round(window * rate)
    hop = max(1, long // OVERLAP) if step is None else round(step * rate)
    starts = np.arange(0, max(1, len(x_tmvc) - long + hop), hop)
    shares = _shares(classifier, x_tmvc, starts, long, false_alarms, layouts)
    covered = [shares[(starts <= at) & (at < starts + long)].mean(axis=0) for at in np.arange(0, len(x_tmvc), hop)]
    return _joined(np.stack(covered), [*classifier.actions, NONE, NOBODY], hop / rate, len(x_tmvc) / rate)


def _shares(classifier: Classifier, x_tmvc: np.ndarray, starts: np.ndarray, long: int, false_alarms: float, layouts: Layouts) -> np.ndarray:
    """(windows, actions + 2): probabilities of a window; all of it "none of these" or "nobody" where it is that."""
    shares = np.zeros((len(starts), len(classifier.actions) + 2))
    parts = [x_tmvc[start : start + long] for start in starts]
    filled = [place for place, part in enumerate(parts) if part.any()]
    clips = [cut(parts[place], str(place), layouts.preparation) for place in filled]
    if clips:
        probability, known = classifier.judged(clips, false_alarms)
        shares[filled, : len(classifier.actions)] = probability * known[:, None]
        shares[filled, -2] = ~known
    shares[:, -1] = shares.sum(axis=1) == 0
    return shares


def _joined(shares: np.ndarray, names: list[str], seconds: float, end: float) -> list[Segment]:
    """Moments (moments, names) of so many seconds each, equal neighbours as one segment."""
    answers = shares.argmax(axis=1)
    edges = [0, *(np.flatnonzero(np.diff(answers)) + 1), len(answers)]
    return [
        Segment(
            round(first * seconds, 3),
            round(min(last * seconds, end), 3),
            names[answers[first]],
            float(shares[first:last, answers[first]].mean()),
        )
        for first, last in pairwise(edges)
    ]


def write(segments: list[Segment], stem: Path, title: str) -> None:
    """Write {stem}.csv (start, end, action, probability) and {stem}.png."""
    rows = ["start,end,action,probability", *(f'{one.start:g},{one.end:g},"{one.action}",{one.probability:.3f}' for one in segments)]
    with atomic(stem.with_name(f"{stem.name}.csv")) as path:
        path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    names = list(dict.fromkeys(one.action for one in segments))
    colours = {name: figure_style.colour(place) for place, name in enumerate(name for name in names if name not in QUIET)} | QUIET
    with figure_style.figure(0.9 + 0.3 * len(names), 9.0) as drawn, atomic(stem.with_name(f"{stem.name}.png")) as path:
        axis = drawn.subplots()
        for row, name in enumerate(names):
            spans = [(one.start, one.end - one.start) for one in segments if one.action == name]
            axis.broken_barh(spans, (row - 0.4, 0.8), facecolors=colours[name])
        axis.set_yticks(range(len(names)), names)
        axis.set(xlim=(0, segments[-1].end), ylim=(len(names) - 0.5, -0.5), xlabel="seconds", title=title)
        drawn.savefig(path, format="png", metadata={"Software": None})
