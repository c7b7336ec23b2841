"""Stage 1: masked motion prediction (paper §3.2, Eq. 1–4) as a step of the training loop."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from stars.config import Checkpoint, Model, Pretrain, Settings
from stars.data.sampling import Clips, random_crop
from stars.model.masked_motion import MaskedMotion
from stars.training import parallel
from stars.training.files import clip_inputs, facts, training_clips, undertaken, write_settings
from stars.training.loop import Job
from stars.training.loop import train as run
from stars.training.optimiser import adamw, arithmetic
from stars.training.plan import Plan, seeded
from stars.training.schedule import schedule
from stars.training.weights import save_encoder

STAGE = "stars.training.pretrain"
OUTPUTS = ("encoder.safetensors", "settings.yaml", "curve.csv")


class PretrainStage(Settings):
    """All that stage 1 is told."""

    seed: int
    model: Model
    pretrain: Pretrain
    parents: tuple[int, ...] = ()  # of the joints, for bones


def pretrain(clips: Path, train: Path, out: Path, settings: PretrainStage, checkpoint: Checkpoint, device: str = "cpu") -> None:
    """Train an encoder from random weights.

    Args:
        clips: folder of the clip store; train: rows of it that train (.npy).
        out: folder for encoder.safetensors, settings.yaml, curve.csv, record.json.

    Raises InputError for bad input and for a loss that is not finite, Interrupted when told to stop.
    """
    inputs = clip_inputs(clips, train)
    with undertaken(out, STAGE, settings, inputs, OUTPUTS, checkpoint) as (work, notes):
        store, index = training_clips(clips, train)
        plan = Plan.of(settings.seed, "pretrain", len(index), settings.pretrain.optimiser)
        with seeded(settings.seed, "model"):
            model = MaskedMotion(settings.model, settings.pretrain.motion, store.joints, settings.parents).to(device)
        job = Job(
            model,
            adamw([(model, 1.0)], settings.pretrain.optimiser),
            Step(model, Clips.of(store, index, device), settings),
            schedule(plan.steps_per_epoch, settings.pretrain.optimiser),
            [store.names[row] for row in index],
        )
        curve = run(job, plan, work)
        if parallel.rank() > 0:
            return
        notes.update(facts(plan, device), earlier_runs=work.earlier)
        curve.write(out / "curve.csv")
        write_settings(out / "settings.yaml", settings)
        save_encoder(out / "encoder.safetensors", model.encoder)


class Step:
    """Loss of one step: crop and rotate the clips, hide tokens, predict their motion; this process's share of the bodies."""

    def __init__(self, model: MaskedMotion, clips: Clips, settings: PretrainStage) -> None:
        self.model, self.clips, self.shape, self.settings = model, clips, settings.model, settings.pretrain

    def __call__(self, rows: Tensor, generator: torch.Generator) -> Tensor:
        x_rtvc = self.bodies(rows, generator)
        tokens = self.shape.frames // self.shape.segment * x_rtvc.shape[2]
        noise_rl = torch.rand(len(x_rtvc), tokens, generator=generator).to(x_rtvc.device)
        own = parallel.share(len(x_rtvc))
        with arithmetic(x_rtvc.device, self.settings.precision):
            return parallel.share_of_mean(self.model(x_rtvc[own], noise_rl[own]), len(x_rtvc))

    def bodies(self, rows: Tensor, generator: torch.Generator) -> Tensor:
        """Crops of the clips `rows`, their bodies as rows of one batch (R, T, V, 3), clip-major; absent ones too or not, as told."""
        x_bmtvc = random_crop(self.clips, rows, self.shape.frames, self.settings.sampling, generator)
        x_rtvc = x_bmtvc.flatten(0, 1)
        return x_rtvc if self.settings.bodies == "all" else x_rtvc[x_rtvc.flatten(1).any(dim=1)]
