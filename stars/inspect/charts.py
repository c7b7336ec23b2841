"""Charts as plain numbers, which the page draws as HTML bars."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

BINS_TO_LIMIT, TIMES_LIMIT = 10, 3  # a chart with a limit ends at three times it


@dataclass(frozen=True)
class Bar:
    """One bar; size: 0 to 100, percent of the longest; beyond: past the chart's limit."""

    label: str
    count: int
    size: float
    beyond: bool = False


@dataclass(frozen=True)
class Chart:
    """Bars under a title; low, middle, high: where a histogram's first bar begins, its middle, and where its last
    one ends; short: labels are only numbers.
    """

    title: str
    bars: list[Bar]
    low: str = ""
    high: str = ""
    middle: str = ""
    limit: str = ""
    short: bool = False

    @property
    def tallest(self) -> int:
        """The greatest count."""
        return max(bar.count for bar in self.bars)


def counts(title: str, values: Iterable[int], names: Mapping[int, str], short: bool = False) -> Chart:
    """One bar for each of `names`, in their order, including zero counts."""
    found = dict(zip(*np.unique(list(values), return_counts=True), strict=True))
    numbers = [int(found.get(value, 0)) for value in names]
    bars = [Bar(name, *_sized(number, numbers)) for name, number in zip(names.values(), numbers, strict=True)]
    return Chart(title, bars, short=short)


def lengths(title: str, frames: np.ndarray, width: int, fps: float) -> Chart:
    """Histogram of clip lengths from 0, `width` frames per bar."""
    edges = np.arange(0, frames.max() + width + 1, width)
    numbers = np.histogram(frames, edges)[0].tolist()
    labels = [f"{low} to {low + width - 1} frames" for low in edges[:-1]]
    bars = [Bar(label, *_sized(number, numbers)) for label, number in zip(labels, numbers, strict=True)]
    return Chart(title, bars, "0", f"{edges[-1]} frames, {edges[-1] / fps:.1f} s", f"{edges[-1] / 2:g}")


def against(title: str, values: np.ndarray, limit: float, unit: str) -> Chart:
    """Histogram from 0 to three times a limit; the last bar includes all larger values."""
    edges = limit / BINS_TO_LIMIT * np.arange(BINS_TO_LIMIT * TIMES_LIMIT + 1)
    numbers = np.histogram(np.clip(values, 0, edges[-1]), edges)[0].tolist()
    labels = [f"from {low:.3g} {unit}" for low in edges[:-1]]
    bars = [
        Bar(label, *_sized(number, numbers), beyond=index >= BINS_TO_LIMIT)
        for index, (label, number) in enumerate(zip(labels, numbers, strict=True))
    ]
    return Chart(title, bars, "0", f"{edges[-1]:.3g} {unit} and more", f"{edges[-1] / 2:.3g}", f"{limit:.3g} {unit}")


def _sized(number: int, numbers: list[int]) -> tuple[int, float]:
    return number, round(100 * number / max(*numbers, 1), 1)
