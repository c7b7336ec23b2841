"""Draws bodies, joint names and outcomes of body ids with matplotlib; no file access."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import EllipseCollection, LineCollection
from matplotlib.lines import Line2D

from stars.config import Denoise
from stars.data.denoise import Decision, Step
from stars.inspect import labels
from stars.inspect.scene import Scene, fate
from stars.inspect.skeleton import CENTRE, HEAD, LEFT, RIGHT, Skeleton, view

SIDES = {LEFT: "#0072B2", RIGHT: "#D55E00", CENTRE: "#4a4a4a"}
GHOST, QUIET = "#b9b9b9", "#6a6a6a"
KEPT = ("#009E73", "#CC79A7")  # body 1, body 2; repeated for further bodies
LOST = {Step.FRAMES: "#b9b9b9", Step.SPREAD: "#B8A800", Step.NOBODY: "#000000"}
WIDTHS = (2.4, 1.3)  # lines of body 1 and of the others
MARGIN = 0.08  # of the larger side


class Stage:
    """A projected scene: joints of all frames in one common window.

    Attributes:
        points: (T, M, V, 2) metres right and up, NaN where a body is absent; ghosts: (T, ids, V, 2), dropped bodies.
        window: (left, right, low, high) metres, around all kept bodies.
    """

    def __init__(self, scene: Scene, skeleton: Skeleton) -> None:
        seen_from = view(scene.x_tmvc, skeleton)
        self.points, self.ghosts = (_visible(x_tmvc) @ seen_from for x_tmvc in (scene.x_tmvc, scene.dropped))
        low, high = np.nanmin(self.points, (0, 1, 2)), np.nanmax(self.points, (0, 1, 2))
        room = MARGIN * max(*(high - low), 0.1)
        self.window = (low[0] - room, high[0] + room, low[1] - room, high[1] + room)

    @property
    def middle(self) -> np.ndarray:
        """Mean position of every joint, (M, V, 2), NaN for a body that is always absent."""
        present = np.isfinite(self.points)
        return np.where(present, self.points, 0).sum(axis=0) / np.where(
            present.any(axis=0), present.sum(axis=0), np.nan
        )

    @property
    def shape(self) -> float:
        """Aspect ratio of the window."""
        left, right, low, high = self.window
        return (right - left) / (high - low)


def _visible(x_tmvc: np.ndarray) -> np.ndarray:
    present = np.asarray(x_tmvc.any(axis=(2, 3)))
    return np.where(present[:, :, None, None], x_tmvc.astype(np.float64), np.nan)


class Bodies:
    """All bodies of one frame in an axes; `show` moves them to another frame."""

    def __init__(self, axis: Axes, stage: Stage, skeleton: Skeleton) -> None:
        self.stage, self.bones = stage, np.array(skeleton.bones, np.int64).reshape(-1, 2)
        left, right, low, high = stage.window
        axis.set(xlim=(left, right), ylim=(low, high), aspect="equal")
        axis.axis("off")
        colours = [SIDES[skeleton.sides[joint]] for joint in self.bones[:, 1]]
        self.anchors: dict[tuple[int, int], np.ndarray] = {}
        self.leaders, self.ghosts = _lines(axis, "#d9d9d9", 0.5), _lines(axis, GHOST, 1)
        self.lines = [_lines(axis, colours, WIDTHS[min(body, 1)]) for body in range(stage.points.shape[1])]
        size, tops = 2 * HEAD, list(skeleton.heads)
        self.tops = tops
        self.heads = EllipseCollection(
            size, size, 0, units="xy", offsets=np.empty((0, 2)), offset_transform=axis.transData, color=SIDES[CENTRE]
        )
        axis.add_collection(self.heads)

    @property
    def artists(self) -> list[Artist]:
        """Artists that `show` changes, in drawing order."""
        return [self.leaders, self.ghosts, *self.lines, self.heads]

    def name(self, axis: Axes, skeleton: Skeleton, points_mvc: np.ndarray) -> None:
        """Write joint names in columns next to the window, with few crossing leader lines; one column for each of
        two bodies, none for a third.
        """
        left, right, low, high = self.stage.window
        places = np.argwhere(np.isfinite(points_mvc[: len(WIDTHS)]).all(axis=-1))
        own = places[:, 0] == 0 if len(np.unique(places[:, 0])) > 1 else None
        for side, column in enumerate(labels.columns(points_mvc[*places.T], own)):
            for row, (body, joint) in enumerate(places[column]):
                anchor = ((left, right)[side], high - (high - low) * (row + 0.5) / len(column))
                self.anchors[body, joint] = np.array(anchor)
                size, colour = min(8.0, 230 / len(column)), SIDES[skeleton.sides[joint]]
                axis.text(
                    *anchor,
                    f" {skeleton.names[joint]} ",
                    ha=("right", "left")[side],
                    va="center",
                    fontsize=size,
                    color=colour,
                )

    def show(self, frame: int) -> None:
        """Move all bodies to their positions in a frame."""
        points = self.stage.points[frame]
        for line, body in zip(self.lines, points, strict=True):
            line.set_segments(self._segments(body))
        heads = points[:, self.tops].reshape(-1, 2)
        self.heads.set_offsets(heads[np.isfinite(heads).all(axis=1)])
        self.ghosts.set_segments([bone for body in self.stage.ghosts[frame] for bone in self._segments(body)])
        self.leaders.set_segments([np.stack([anchor, points[place]]) for place, anchor in self.anchors.items()])

    def _segments(self, points_vc: np.ndarray) -> list[np.ndarray]:
        """Ends (2, 2) of each bone; empty for an absent body."""
        return list(points_vc[self.bones]) if np.isfinite(points_vc).all() else []


def _lines(axis: Axes, colours: Any, width: float) -> LineCollection:
    lines = LineCollection([], colors=colours, linewidths=width, capstyle="round")
    axis.add_collection(lines)
    return lines


def legend(scene: Scene) -> str:
    """Meaning of the lines, for more than one body."""
    words = ["thick: body 1", "thin: body 2"] if scene.x_tmvc.shape[1] > 1 else []
    return ", ".join([*words, *["grey: dropped"] * any(case.actor is None for case in scene.decisions)])


def timeline(axis: Axes, scene: Scene, settings: Denoise) -> None:
    """A bar for each body id over the raw frames, coloured by outcome, and below one for each kept body."""
    rows = [
        (f"id {case.id}", [(case.body.start, case.body.end)], _colour(case), fate(case, settings))
        for case in scene.decisions
    ]
    for body in range(scene.x_tmvc.shape[1]):
        seen = scene.at[scene.x_tmvc[:, body].any(axis=(1, 2))]
        rows.append((f"body {body + 1}", runs(seen), KEPT[body % len(KEPT)], f"kept, {len(seen)} frames"))
    for row, (_, spans, colour, text) in enumerate(rows):
        axis.broken_barh([(start, end - start) for start, end in spans], (row - 0.2, 0.4), facecolors=colour)
        axis.text(0, row - 0.27, text, fontsize=7.5, va="bottom", color=QUIET)
    axis.set_yticks(range(len(rows)), [name for name, *_ in rows], fontsize=7.5)
    axis.axhline(len(scene.decisions) - 0.55, color="#d5d5d5", linewidth=0.7)
    axis.set(xlim=(0, scene.raw_frames), ylim=(len(rows) - 0.5, -0.75))
    axis.set_xlabel("frame of the raw file, without frames that have no body", fontsize=7.5)
    axis.tick_params(axis="x", labelsize=7.5)
    axis.tick_params(axis="y", length=0)
    axis.spines["left"].set_visible(False)


def _colour(case: Decision) -> str:
    return KEPT[case.actor] if case.actor is not None else LOST[case.step]


def runs(frames: np.ndarray) -> list[tuple[int, int]]:
    """[start, end) of each run of consecutive numbers in ascending ones."""
    parts = np.split(frames, np.flatnonzero(np.diff(frames) > 1) + 1)
    return [(int(part[0]), int(part[-1]) + 1) for part in parts if len(part)]


def speeds(axis: Axes, scene: Scene, fps: float) -> None:
    """Speed of the fastest joint of each body over the clip's frames, m/s; it peaks where tracking fails."""
    for body in range(scene.x_tmvc.shape[1]):
        x_tvc = _visible(scene.x_tmvc[:, body : body + 1])[:, 0]
        fastest = np.linalg.norm(np.diff(x_tvc, axis=0), axis=-1).max(axis=1) * fps
        axis.plot(
            np.arange(len(fastest)) + 0.5,
            fastest,
            color=KEPT[body % len(KEPT)],
            linewidth=1.2,
            label=f"body {body + 1}",
        )
    axis.set(xlim=(0, max(len(scene.x_tmvc) - 1, 1)))
    axis.set_ylim(bottom=0)
    axis.set_xlabel("frame of the clip", fontsize=7.5)
    axis.set_title("Fastest joint, m/s", fontsize=8.5, loc="left")
    axis.tick_params(labelsize=7.5)


def cursor(axis: Axes) -> Line2D:
    """A line at the current frame."""
    return axis.axvline(0, color="#000000", linewidth=0.9)


def evenly(length: int, count: int) -> list[int]:
    """`count` evenly spaced frames, including first and last; all if there are fewer."""
    return sorted({int(place + 0.5) for place in np.linspace(0, length - 1, min(count, length))})
