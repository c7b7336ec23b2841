"""A clip as something to look at: its bodies, and where its raw file is at hand, what denoising made of every body id."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from stars.config import Denoise
from stars.data.denoise import Decision, Step, decide, placed
from stars.data.readers import RawClip


@dataclass(frozen=True, eq=False)
class Scene:
    """What is drawn of a clip; frames count from 0.

    Attributes:
        x_tmvc: (T, M, V, 3) kept bodies in metres, zeros where one is absent; at least one frame and body.
        decisions: what became of each body id; empty where the layout tells bodies apart.
        raw_frames: frames of the raw file with a body; at: (T,) raw frame of each frame of x_tmvc.
    """

    x_tmvc: np.ndarray
    decisions: list[Decision] = field(default_factory=list)
    raw_frames: int = 0
    at: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))

    @property
    def dropped(self) -> np.ndarray:
        """(T, ids, V, 3): the bodies that were not kept, at their times."""
        cases = [case for case in self.decisions if case.actor is None]
        x_tnvc = np.zeros((self.raw_frames, len(cases), *self.x_tmvc.shape[2:]), np.float32)
        for index, case in enumerate(cases):
            x_tnvc[case.body.start : case.body.end, index] = case.body.joints
        return x_tnvc[self.at] if len(self.at) else np.zeros((len(self.x_tmvc), 0, *self.x_tmvc.shape[2:]), np.float32)


def scene(raw: RawClip, settings: Denoise, bodies: int, most: int) -> Scene | None:
    """The scene of what a reader found, as ingest keeps it: `bodies` of them, `most` frames; None where there is nobody."""
    if isinstance(raw, np.ndarray):
        x_tmvc = raw[:most, :bodies]
        return Scene(x_tmvc) if x_tmvc.any() else None
    decisions = decide(raw, settings)
    x_tmvc = placed(decisions, raw.frames)
    at = np.flatnonzero(x_tmvc.any(axis=(1, 2, 3)))[:most]
    return Scene(x_tmvc[at][:, :bodies], decisions, raw.frames, at) if len(at) else None


def explain(scene: Scene, settings: Denoise) -> list[str]:
    """What became of each body id, a line each, and of frames; none where no ids were told apart."""
    lines = [f"id {case.id}, frames {case.body.start} to {case.body.end - 1}: {fate(case, settings)}" for case in scene.decisions]
    if scene.raw_frames > len(scene.at):
        lines.append(
            f"{scene.raw_frames - len(scene.at)} of {scene.raw_frames} frames left out: no kept body in them, or past ingest.max_frames"
        )
    return lines


def fate(case: Decision, settings: Denoise) -> str:
    """What became of a body id, and the numbers that decided it."""
    moves = "" if case.motion is None else f", its motion {case.motion:.3f} m²"
    match case.step:
        case Step.FRAMES:
            return f"dropped, seen in {len(case.body.joints)} frames, fewer than {settings.min_frames}"
        case Step.SPREAD:
            return f"dropped, too wide in {100 * (case.noisy or 0):.0f} % of its frames, limit {100 * settings.max_noisy_share:.0f} %"
        case Step.NOBODY:
            return f"dropped, both bodies are taken at that time{moves}"
        case Step.MERGED:
            return f"merged into body {(case.actor or 0) + 1}, free at that time{moves}"
    return f"body {(case.actor or 0) + 1}{moves}"
