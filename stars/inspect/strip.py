"""A clip as one picture: evenly spaced frames, joint names, speed, and the outcome of denoising."""

from __future__ import annotations

from pathlib import Path

from stars import figure_style
from stars.config import Denoise
from stars.inspect import draw
from stars.inspect.scene import Scene
from stars.inspect.skeleton import Skeleton
from stars.provenance.files import atomic

WIDTH, TITLE = 12.0, 0.45  # inches
NAMES = 0.1  # fraction of the width for joint names on either side
LEFT, SHARE = 0.64, 0.345  # fractions of the width: start and width of the right panels
SPEED, ALONE, ROW = 1.2, 2.6, 0.34  # inches: height of the speed panel, of the panel alone, and of a body id's row


def write(path: Path, scene: Scene, skeleton: Skeleton, settings: Denoise, fps: float, title: str, frames: int) -> None:
    """Write the PNG with `frames` poses, with reproducible bytes."""
    stage, shown = draw.Stage(scene, skeleton), draw.evenly(len(scene.x_tmvc), frames)
    strip = min(max(WIDTH / len(shown) / stage.shape, 1.0), 2.4)
    speed = SPEED if scene.decisions else ALONE
    rows = ROW * (len(scene.decisions) + scene.x_tmvc.shape[1]) if scene.decisions else 0
    below = max(4.2, speed + rows + 1.6)
    height = TITLE + strip + 0.3 + below

    def place(left: float, bottom: float, width: float, tall: float) -> tuple[float, float, float, float]:
        return left, bottom / height, width, tall / height  # bottom and tall in inches

    with figure_style.figure(height, WIDTH, layout=None) as figure, atomic(path) as temporary:
        figure.text(0.01, 1 - 0.22 / height, title, fontsize=11, va="center")
        for index, frame in enumerate(shown):
            axis = figure.add_axes(place(index / len(shown), below + 0.3, 1 / len(shown), strip))
            draw.Bodies(axis, stage, skeleton).show(frame)
            text = f"frame {frame}, {frame / fps:.2f} s"
            figure.text((index + 0.5) / len(shown), (below + 0.15) / height, text, ha="center", fontsize=8)
        named = figure.add_axes(place(NAMES, 0.35, 0.52 - 2 * NAMES, below - 0.55))
        bodies = draw.Bodies(named, stage, skeleton)
        bodies.name(named, skeleton, stage.points[len(stage.points) // 2])
        bodies.show(len(stage.points) // 2)
        figure.text(0.26, 0.15 / height, draw.legend(scene), fontsize=8, ha="center", color=draw.QUIET)
        draw.speeds(figure.add_axes(place(LEFT, below - speed - 0.3, SHARE, speed)), scene, fps)
        if scene.decisions:
            draw.timeline(figure.add_axes(place(LEFT, 0.45, SHARE, rows + 0.1)), scene, settings)
        figure.savefig(temporary, format="png", metadata={"Software": None})
