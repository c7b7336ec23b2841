"""A clip and its nearest clips in a library as one picture, with a strip of poses for each."""

from __future__ import annotations

import base64
import html
import re
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from stars import figure_style
from stars.config.reading import read_yaml
from stars.data import common_joints
from stars.data.dataset import Dataset
from stars.errors import InputError
from stars.inference.clips import Given, OwnClip
from stars.inference.library import Library, Match
from stars.inference.preparation import Preparation
from stars.inspect import animation, draw
from stars.inspect.scene import Scene
from stars.inspect.skeleton import Skeleton
from stars.pipeline.descriptions import describe, folders
from stars.provenance.files import atomic

WIDTH, POSES = 12.0, 10
TEXT, TALLEST = 0.3, 1.6  # inches: height of a strip's title, maximum height of its poses


def pictures(library: Library, given: Given | Iterable[Given], out: Path, k: int = 5) -> list[list[Match]]:
    """Write {clip}.png into folder `out` for each clip, with its strip and those of the k nearest; return matches as
    `Library.search`.

    Raises:
        InputError: no description in config/datasets has the encoder's joints, so the bones are unknown.
    """
    skeleton, shown = Skeleton.of(described(library.model.preparation)), library.model.read(given)
    matches = library.matches(shown, k)
    for clip, found, stem in zip(shown, matches, stems([clip.name for clip in shown]), strict=True):
        strips = [(clip.name, clip.x_tmvc)]
        strips += [
            (f"{match.rank}. {match.label}, {match.similarity:.3f}: {match.name}", library.joints(match.place))
            for match in found
        ]
        draw_strips(out / f"{stem}.png", strips, skeleton)
    return matches


def stems(names: Sequence[str]) -> list[str]:
    """Name of each clip's picture: its file's name, or its path if names repeat, without special characters."""
    short, whole = (
        [re.sub(r"[^\w.-]", "_", name) for name in some] for some in ([Path(name).stem for name in names], names)
    )
    return [path if short.count(stem) > 1 else stem for stem, path in zip(short, whole, strict=True)]


def draw_strips(path: Path, strips: Sequence[tuple[str, np.ndarray]], skeleton: Skeleton) -> None:
    """Write the PNG of titled clips (T, M, V, 3), with reproducible bytes."""
    stages = [draw.Stage(Scene(x_tmvc), skeleton) for _, x_tmvc in strips]
    heights = [min(WIDTH / POSES / stage.shape, TALLEST) + TEXT for stage in stages]
    top = height = sum(heights)
    with figure_style.figure(height, WIDTH, layout=None) as figure, atomic(path) as temporary:
        for (title, x_tmvc), stage, tall in zip(strips, stages, heights, strict=True):
            figure.text(0.01, (top - TEXT / 2) / height, title, fontsize=9, va="center")
            for place, frame in enumerate(draw.evenly(len(x_tmvc), POSES)):
                axis = figure.add_axes((place / POSES, (top - tall) / height, 1 / POSES, (tall - TEXT) / height))
                draw.Bodies(axis, stage, skeleton).show(frame)
            top -= tall
        figure.savefig(temporary, format="png", metadata={"Software": None})


def animated(clip: OwnClip) -> str:
    """HTML of the clip as an animated GIF, or of its name if its bones are unknown."""
    try:
        dataset = described(clip.preparation)
    except InputError:
        return f"<p>{html.escape(repr(clip))}</p>"
    title, fps = Path(clip.name).name, clip.preparation.fps or dataset.fps
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.gif"
        animation.write(path, Scene(clip.x_tmvc), Skeleton.of(dataset), clip.preparation.ingest.denoise, fps, title)
        picture = base64.b64encode(path.read_bytes()).decode()
    return f'<img alt="{html.escape(repr(clip))}" src="data:image/gif;base64,{picture}">'


def described(preparation: Preparation) -> Dataset:
    """A description with the clips' joints: the named one, or the first in config/datasets that matches."""
    joints = preparation.dataset.joints
    found = describe(preparation.like, "--like") if preparation.like else None
    for path in () if found else sorted(path for folder in folders("datasets") for path in folder.glob("*.yaml")):
        if list(joints) == read_yaml(path).get("joints"):
            found = describe(str(path), "--like")
            break
    if found is None:
        raise InputError(
            "no description in config/datasets has the joints of the encoder's clips: name one that has, with --like"
        )
    return common_joints.described(found) if preparation.ingest.joints == "common" else found
