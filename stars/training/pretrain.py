"""Stage 1: masked motion prediction (paper §3.2, Eq. 1–4) as a step of the training loop."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from stars.config import Checkpoint, Model, Pretrain, Settings
from stars.data.sampling import Clips, random_crop, random_view
from stars.data.sending import sent
from stars.model.masked_motion import MaskedMotion
from stars.training import memory, online_knn, parallel
from stars.training.collapse import effective_rank, feature_std
from stars.training.files import clip_inputs, facts, held_clips, training_clips, undertaken, write_settings
from stars.training.loop import Job
from stars.training.loop import train as run
from stars.training.optimiser import adamw, arithmetic
from stars.training.plan import Plan, seeded
from stars.training.schedule import schedule
from stars.training.weights import save_encoder

STAGE = "stars.training.pretrain"
OUTPUTS = ("encoder.safetensors", "settings.yaml", "curve.csv")
FACTS = ("feature_std", "effective_rank")


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
        held, every = held_clips("pretrain", store, index, device), settings.pretrain.knn_epochs
        step = Step(model, held, settings)
        step.check_memory(plan)
        job = Job(
            model,
            adamw([(model, 1.0)], settings.pretrain.optimiser),
            step,
            schedule(plan.steps_per_epoch, settings.pretrain.optimiser),
            [store.names[row] for row in index],
            facts=step.facts,
            at_epoch=online_knn.watch(model.encoder, held, every, settings.pretrain.precision),
            columns=(*FACTS, *online_knn.columns(every)),
            precision=settings.pretrain.precision,
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
        x_rtvc, noise_rl = self.draw(rows, generator)
        own = parallel.share(len(x_rtvc))
        self._newest = x_rtvc[own], noise_rl[own], len(x_rtvc)
        return parallel.share_of_mean(self.loss(x_rtvc[own], noise_rl[own]), len(x_rtvc))

    def draw(self, rows: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """The whole batch: its bodies (R, T, V, 3) and ε of Eq. 3 for each of their tokens (R, L)."""
        x_rtvc = self.bodies(rows, generator)
        tokens = self.shape.frames // self.shape.segment * x_rtvc.shape[2]
        return x_rtvc, sent(torch.rand(len(x_rtvc), tokens, generator=generator), x_rtvc.device)

    def bodies(self, rows: Tensor, generator: torch.Generator) -> Tensor:
        """Crops of the clips `rows`, their bodies as rows of one batch (R, T, V, 3), clip-major; absent ones too or not, as told."""
        frames, sampling = self.shape.frames, self.settings.sampling
        if self.settings.bodies == "all":
            return random_crop(self.clips, rows, frames, sampling, generator).flatten(0, 1)
        x_bmtvc, known = random_view(self.clips, rows, frames, sampling, generator)
        present_r = (~known.absent_bm).flatten().nonzero().squeeze(1)
        return x_bmtvc.flatten(0, 1).index_select(0, sent(present_r, x_bmtvc.device))

    def loss(self, x_rtvc: Tensor, noise_rl: Tensor) -> Tensor:
        """Mean over these bodies."""
        with arithmetic(x_rtvc.device, self.settings.precision):
            return self.model(x_rtvc, noise_rl)

    @torch.no_grad()
    def facts(self) -> dict[str, float]:
        """Of the newest step's bodies, each the mean of its visible tokens: spread and rank."""
        x_rtvc, noise_rl, rows = self._newest
        keep, _, _ = self.model.mask(self.model.encoder.stream(x_rtvc), noise_rl)
        with arithmetic(x_rtvc.device, self.settings.precision):
            y_rc = self.model.encoder(x_rtvc, keep).float().mean(1)
        y_rc = parallel.gather(y_rc[: rows // parallel.count()])
        return {"feature_std": feature_std(y_rc), "effective_rank": effective_rank(y_rc)}

    def check_memory(self, plan: Plan) -> None:
        """InputError if a step does not fit."""
        x_rtvc, noise_rl = self.draw(plan.rows(0), plan.generator(0))
        own = parallel.share(len(x_rtvc))
        sizes = (*memory.SAMPLES, own.stop - own.start)
        memory.check_step("pretrain", self.model, lambda count: self.loss(x_rtvc[:count], noise_rl[:count]), sizes, x_rtvc.device)
