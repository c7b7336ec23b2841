"""A clip as an animated GIF at its original speed; only moving parts are redrawn on a static background."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from PIL import Image

from stars import figure_style
from stars.config import Denoise
from stars.inspect import draw
from stars.inspect.scene import Scene
from stars.inspect.skeleton import LEFT, RIGHT, Skeleton
from stars.provenance.files import atomic

FASTEST = 50.0  # pictures per second; browsers slow down faster GIFs
WIDTH, POSE, ROW = 8.0, 4.2, 0.3  # inches: width of the picture, height of bodies, height of a row of the timeline
NAMES = 0.16  # fraction of the width for joint names on either side
GREYS, BLENDS = 16, 5  # levels in the palette from white to black, and from each colour towards white


def times(frames: int, fps: float) -> tuple[list[int], list[int]]:
    """Frames shown, and how long each, in ms: whole hundredths of a second, as GIF requires, that add up to the
    clip's duration.
    """
    step = math.ceil(fps / FASTEST)
    shown = list(range(0, frames, step))
    ends = [round(100 * min(frame + step, frames) / fps) for frame in shown]
    return shown, [10 * (end - start) for start, end in zip([0, *ends], ends, strict=False)]


def write(path: Path, scene: Scene, skeleton: Skeleton, settings: Denoise, fps: float, title: str) -> None:
    """Write the GIF, with reproducible bytes."""
    shown, durations = times(len(scene.x_tmvc), fps)
    palette = _palette()
    pictures = _pictures(scene, skeleton, settings, fps, title, shown)
    indexed = [Image.fromarray(picture).quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures]
    with atomic(path) as temporary:
        indexed[0].save(
            temporary, "GIF", save_all=True, append_images=indexed[1:], duration=durations, loop=0, disposal=1
        )


def _palette() -> Image.Image:
    """White, greys, and every colour of lines and bars with its blends into white."""
    colours = [to_rgb(colour) for colour in (draw.SIDES[LEFT], draw.SIDES[RIGHT], *draw.KEPT, *draw.LOST.values())]
    greys = [(level, level, level) for level in np.linspace(1, 0, GREYS)]
    blends = [
        tuple(1 - share * (1 - channel) for channel in colour)
        for colour in colours
        for share in np.linspace(1, 0, BLENDS, endpoint=False)
    ]
    holder = Image.new("P", (1, 1))
    holder.putpalette([round(255 * channel) for colour in (*greys, *blends) for channel in colour])
    return holder


def _pictures(
    scene: Scene, skeleton: Skeleton, settings: Denoise, fps: float, title: str, shown: list[int]
) -> Iterator[np.ndarray]:
    """(height, width, 3) uint8 for each frame shown."""
    rows = len(scene.decisions) + scene.x_tmvc.shape[1] if scene.decisions else 0
    below = 0.6 + ROW * rows if rows else 0.0
    height = POSE + 0.5 + below
    with figure_style.figure(height, WIDTH, layout=None) as figure:
        figure.set_dpi(100)
        pose = figure.add_axes((NAMES, (below + 0.2) / height, 1 - 2 * NAMES, POSE / height))
        stage = draw.Stage(scene, skeleton)
        bodies = draw.Bodies(pose, stage, skeleton)
        bodies.name(pose, skeleton, stage.middle)
        figure.text(0.015, 1 - 0.2 / height, title, fontsize=10, va="center")
        figure.text(0.5, (below + 0.1) / height, draw.legend(scene), fontsize=7.5, ha="center", color=draw.QUIET)
        clock = figure.text(0.985, 1 - 0.2 / height, "", fontsize=9, va="center", ha="right")
        moving = [*bodies.artists, clock]
        if rows:
            axis = figure.add_axes((NAMES + 0.03, 0.45 / height, 0.96 - NAMES - 0.03, (below - 0.5) / height))
            draw.timeline(axis, scene, settings)
            moving.append(now := draw.cursor(axis))
        for artist in moving:
            artist.set_animated(True)
        canvas = figure.canvas
        assert isinstance(canvas, FigureCanvasAgg)
        canvas.draw()
        still = canvas.copy_from_bbox(figure.bbox)
        for frame in shown:
            bodies.show(frame)
            clock.set_text(f"frame {frame} of {len(scene.x_tmvc)}   {frame / fps:.2f} s")
            if rows:
                now.set_xdata([scene.at[frame] + 0.5] * 2)
            canvas.restore_region(still)
            for artist in moving:
                figure.draw_artist(artist)
            yield np.asarray(canvas.buffer_rgba())[..., :3].copy()
