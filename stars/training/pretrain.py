"""Stage 1: masked motion prediction from random weights (paper §3.2, Eq. 1–4)."""

from __future__ import annotations

from pathlib import Path

from stars.backbones.transformer import Network
from stars.config import Checkpoint, Model, Pretrain, Settings
from stars.data.bodies import unknown
from stars.data.store import ClipStore
from stars.objectives import mamp
from stars.training.files import clip_inputs
from stars.training.plan import generator, seeded
from stars.training.run import StepSettings, run
from stars.training.trained import Trained, all_parts
from stars.views.crop import View, random_crop, random_view

STAGE = "stars.training.pretrain"
OUTPUTS = ("encoder.safetensors", "settings.yaml", "curve.csv")


class PretrainStage(Settings):
    """Settings of stage 1."""

    seed: int
    model: Model
    pretrain: Pretrain
    parents: tuple[int, ...] = ()  # of the joints, for bones


def pretrain(
    clips: Path, train: Path, out: Path, settings: PretrainStage, checkpoint: Checkpoint, device: str = "cpu"
) -> None:
    """Train an encoder from random weights.

    Args:
        clips: folder of the clip store; train: its training rows (.npy).
        out: folder for encoder.safetensors, settings.yaml, curve.csv, record.json.

    Raises InputError for bad input and for a loss that is not finite, Interrupted after a signal to stop.
    """

    def made(store: ClipStore) -> tuple[Trained, StepSettings]:
        return untrained(settings, store.joints), step_settings(settings)

    run(STAGE, settings, clip_inputs(clips, train), out, checkpoint, device, made, OUTPUTS)


def untrained(settings: PretrainStage, joints: int) -> Trained:
    """Encoder and decoder, randomly initialised from the seed."""
    with seeded(settings.seed, "model"):
        networks = {"encoder": Network(settings.model, joints, settings.parents)}
        motion, memory = settings.pretrain.motion, generator(settings.seed, "queue")
        return Trained(networks, all_parts(networks), lambda: mamp.Loss(networks, motion, memory))


def step_settings(settings: PretrainStage) -> StepSettings:
    """The settings of a training step."""
    options, frames = settings.pretrain, settings.model.frames

    def views(clips, rows, generator):  # type: ignore[no-untyped-def]
        if options.bodies == "present":
            return {"only": random_view(clips, rows, frames, options.sampling, generator)}
        x_bmtvc = random_crop(clips, rows, frames, options.sampling, generator)
        return {"only": View(x_bmtvc, unknown(x_bmtvc))}  # all bodies are used, so absent ones need not be found

    return StepSettings(
        "pretrain",
        ("mamp", options.motion),
        settings.seed,
        options.optimiser,
        views,
        options.bodies,
        options.precision,
        options.knn_epochs,
    )
