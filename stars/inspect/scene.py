"""A clip to draw: its bodies and, if its raw file is available, the outcome of denoising for every body id."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from stars.config import Denoise
from stars.data.denoise import Decision, Step, decide, placed
from stars.data.readers import RawClip


@dataclass(frozen=True, eq=False)
class Scene:
    """Drawable content of a clip; frames count from 0.

    Attributes:
        x_tmvc: (T, M, V, 3) kept bodies in metres, zeros where absent; at least one frame and body.
        decisions: outcome for each body id; empty if the layout separates bodies.
        raw_frames: frames of the raw file with a body; at: (T,) raw frame of each frame of x_tmvc.
    """

    x_tmvc: np.ndarray
    decisions: list[Decision] = field(default_factory=list)
    raw_frames: int = 0
    at: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))

    @property
    def dropped(self) -> np.ndarray:
        """Dropped bodies in time, (T, ids, V, 3)."""
        cases = [case for case in self.decisions if case.actor is None]
        x_tnvc = np.zeros((self.raw_frames, len(cases), *self.x_tmvc.shape[2:]), np.float32)
        for index, case in enumerate(cases):
            x_tnvc[case.body.start : case.body.end, index] = case.body.joints
        return x_tnvc[self.at] if len(self.at) else np.zeros((len(self.x_tmvc), 0, *self.x_tmvc.shape[2:]), np.float32)


def scene(raw: RawClip, settings: Denoise, bodies: int, most: int) -> Scene | None:
    """The scene of a reader's output, as ingest keeps it: `bodies` bodies, at most `most` frames; None without a
    body.
    """
    if isinstance(raw, np.ndarray):
        x_tmvc = raw[:most, :bodies]
        return Scene(x_tmvc) if x_tmvc.any() else None
    decisions = decide(raw, settings)
    x_tmvc = placed(decisions, raw.frames)
    at = np.flatnonzero(x_tmvc.any(axis=(1, 2, 3)))[:most]
    return Scene(x_tmvc[at][:, :bodies], decisions, raw.frames, at) if len(at) else None


def explain(scene: Scene, settings: Denoise) -> list[str]:
    """One line per body id, and about frames; empty if bodies needed no separation."""
    lines = [
        f"id {case.id}, frames {case.body.start} to {case.body.end - 1}: {fate(case, settings)}"
        for case in scene.decisions
    ]
    if scene.raw_frames > len(scene.at):
        lines.append(
            f"{scene.raw_frames - len(scene.at)} of {scene.raw_frames} frames dropped: without a kept body, or beyond"
            " ingest.max_frames"
        )
    return lines


def fate(case: Decision, settings: Denoise) -> str:
    """Outcome for a body id, and the numbers that decided it."""
    moves = "" if case.motion is None else f", its motion {case.motion:.3f} m²"
    match case.step:
        case Step.FRAMES:
            return f"dropped, seen in {len(case.body.joints)} frames, fewer than {settings.min_frames}"
        case Step.SPREAD:
            return (
                f"dropped, too wide in {100 * (case.noisy or 0):.0f} % of its frames, limit"
                f" {100 * settings.max_noisy_share:.0f} %"
            )
        case Step.NOBODY:
            return f"dropped, both bodies are taken at that time{moves}"
        case Step.MERGED:
            return f"merged into body {(case.actor or 0) + 1}, free at that time{moves}"
    return f"body {(case.actor or 0) + 1}{moves}"
