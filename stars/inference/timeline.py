"""Timelines of long recordings with sliding windows as long as the labelled clips; the best-fitting window decides each
moment.

A window with a whole action fits best; the more numerous windows that cut it off would outvote it.
"""

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
OVERLAP = 8  # windows over each moment
QUIET = {NONE: "#d5d5d5", NOBODY: "#f2f2f2"}


class Segment(NamedTuple):
    """A segment of a recording, in seconds, its action, and the action's mean probability in its windows; None
    without an action.
    """

    start: float
    end: float
    action: str
    probability: float | None


def timeline(
    classifier: Classifier,
    file: File,
    layouts: Layouts,
    false_alarms: float,
    window: float | None = None,
    step: float | None = None,
) -> list[Segment]:
    """The consecutive segments of a recording.

    Args:
        window, step: length and stride of windows in seconds; None: median length of the labelled clips, and an eighth
            of it.

    Raises:
        InputError: the file cannot be read, or a length is not positive.
    """
    x_tmvc, rate = recording(file, layouts), layouts.preparation.fps or layouts.preparation.dataset.fps
    for name, value in (("window", window), ("step", step)):
        if value is not None and value * rate < 1:
            raise InputError(f"--{name} {value:g}: must be at least the duration of a frame, {1 / rate:.3g} s")
    long = classifier.frames if window is None else round(window * rate)
    hop = max(1, long // OVERLAP) if step is None else round(step * rate)
    starts = np.arange(0, max(1, len(x_tmvc) - long + hop), hop)
    fits, answers, probability = _judged(classifier, x_tmvc, starts, long, false_alarms, layouts)
    moments = np.arange(0, len(x_tmvc), hop)
    best = np.array(
        [max(np.flatnonzero((starts <= at) & (at < starts + long)), key=lambda window: fits[window]) for at in moments]
    )
    seen = np.array([x_tmvc[at : at + hop].any() for at in moments])
    names = np.where(seen, answers[best], NOBODY)
    return _joined(names.tolist(), probability[best], hop / rate, len(x_tmvc) / rate)


def _judged(
    classifier: Classifier, x_tmvc: np.ndarray, starts: np.ndarray, long: int, false_alarms: float, layouts: Layouts
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Score of each window's likeliest action, its prediction, and the action's probability."""
    fits, probability = np.full(len(starts), -np.inf), np.zeros(len(starts))
    answers = np.full(len(starts), NOBODY, object)
    filled = [place for place, start in enumerate(starts) if x_tmvc[start : start + long].any()]
    if filled:
        clips = [cut(x_tmvc[starts[place] : starts[place] + long], str(place), layouts.preparation) for place in filled]
        found, fits[filled], known = classifier.judged(clips, false_alarms)
        probability[filled] = found.max(axis=1)
        answers[filled] = np.where(known, np.array(classifier.actions, object)[found.argmax(axis=1)], NONE)
    return fits, answers, probability


def _joined(names: list[str], probability: np.ndarray, seconds: float, end: float) -> list[Segment]:
    """Merge equal consecutive moments of `seconds` each into segments."""
    edges = [0, *(place for place in range(1, len(names)) if names[place] != names[place - 1]), len(names)]
    return [
        Segment(
            round(first * seconds, 3),
            round(min(last * seconds, end), 3),
            names[first],
            None if names[first] in QUIET else float(probability[first:last].mean()),
        )
        for first, last in pairwise(edges)
    ]


def shown(one: Segment, digits: int = 2) -> str:
    """A segment's probability as text, or ""."""
    return "" if one.probability is None else f"{one.probability:.{digits}f}"


def write(segments: list[Segment], stem: Path, title: str) -> None:
    """Write {stem}.csv (start, end, action, probability) and {stem}.png."""
    rows = [
        "start,end,action,probability",
        *(f'{one.start:g},{one.end:g},"{one.action}",{shown(one, 3)}' for one in segments),
    ]
    with atomic(stem.with_name(f"{stem.name}.csv")) as path:
        path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    names = list(dict.fromkeys(one.action for one in segments))
    colours = {
        name: figure_style.colour(place) for place, name in enumerate(name for name in names if name not in QUIET)
    } | QUIET
    with figure_style.figure(0.9 + 0.3 * len(names), 9.0) as drawn, atomic(stem.with_name(f"{stem.name}.png")) as path:
        axis = drawn.subplots()
        for row, name in enumerate(names):
            spans = [(one.start, one.end - one.start) for one in segments if one.action == name]
            axis.broken_barh(spans, (row - 0.4, 0.8), facecolors=colours[name])
        axis.set_yticks(range(len(names)), names)
        axis.set(xlim=(0, segments[-1].end), ylim=(len(names) - 0.5, -0.5), xlabel="seconds", title=title)
        drawn.savefig(path, format="png", metadata={"Software": None})
