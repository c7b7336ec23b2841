"""Stage 2: nearest-neighbour contrastive tuning (paper §3.3, Eq. 5–7, Algorithm 1) as a step of the training loop."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from stars.config import Checkpoint, Settings, Tune
from stars.data.sampling import Clips, random_crop
from stars.errors import InputError
from stars.model.encoder import Encoder, clip_features
from stars.model.heads import Predictor, Projector
from stars.training import parallel
from stars.training.collapse import effective_rank, feature_std
from stars.training.files import clip_inputs, facts, training_clips, undertaken, write_settings
from stars.training.loop import Job
from stars.training.loop import train as run
from stars.training.losses.nnclr import Queue, nnclr_loss
from stars.training.optimiser import adamw, arithmetic
from stars.training.plan import Plan, generator, seeded
from stars.training.schedule import layer_rates, schedule
from stars.training.weights import load_encoder, save_encoder, save_heads

STAGE = "stars.training.tune"
OUTPUTS = ("encoder.safetensors", "heads.safetensors", "settings.yaml", "curve.csv")
FACTS = ("feature_std", "effective_rank", "neighbour_cosine", "self_matches")


class TuneStage(Settings):
    """All that stage 2 is told; the model's shape stands in the parent encoder's file."""

    seed: int
    tune: Tune


def tune(clips: Path, train: Path, parent: Path, out: Path, settings: TuneStage, checkpoint: Checkpoint, device: str = "cpu") -> None:
    """Tune the upper blocks of a trained encoder together with new heads.

    Args:
        clips: folder of the clip store; train: rows of it that train (.npy); parent: the encoder.safetensors to start from.
        out: folder for encoder.safetensors, heads.safetensors, settings.yaml, curve.csv, record.json.

    Raises InputError for bad input and for a loss that is not finite, Interrupted when told to stop.
    """
    inputs = clip_inputs(clips, train, parent=parent)
    with undertaken(out, STAGE, settings, inputs, OUTPUTS, checkpoint) as (work, notes):
        store, index = training_clips(clips, train)
        plan = Plan.of(settings.seed, "tune", len(index), settings.tune.optimiser)
        encoder = load_encoder(parent)
        if encoder.joints != store.joints:
            raise InputError(
                f"{parent} is for {encoder.joints} joints, but the clips in {clips} have {store.joints}: choose an encoder trained on them"
            )
        model = Tuning(encoder, settings).to(device)
        step = Step(model, Clips.of(store, index, device), settings.tune)
        job = Job(
            model,
            adamw(model.parts(), settings.tune.optimiser),
            step,
            schedule(plan.steps_per_epoch, settings.tune.optimiser),
            [store.names[row] for row in index],
            facts=step.facts,
            columns=FACTS,
        )
        curve = run(job, plan, work)
        if parallel.rank() > 0:
            return
        notes.update(facts(plan, device), earlier_runs=work.earlier)
        curve.write(out / "curve.csv")
        write_settings(out / "settings.yaml", settings)
        save_heads(out / "heads.safetensors", model.projector, model.predictor)
        save_encoder(out / "encoder.safetensors", model.encoder)


class Tuning(nn.Module):
    """Encoder, heads and queue. Embeddings, positions and lower blocks are frozen; the heads and the queue are a seed's own."""

    def __init__(self, encoder: Encoder, settings: TuneStage) -> None:
        super().__init__()
        width, options = encoder.shape.width, settings.tune
        self.factors = layer_rates(encoder.shape.depth, options.layer_decay, options.tuned_blocks)
        self.encoder = encoder.requires_grad_(False)
        for module, _ in self.encoder_parts():
            module.requires_grad_(True)
        with seeded(settings.seed, "heads"):
            self.projector, self.predictor = Projector(width), Predictor(width, options.predictor_hidden)
        self.queue = Queue(options.queue, width, options.queue_start, generator(settings.seed, "queue"))

    def encoder_parts(self) -> list[tuple[nn.Module, float]]:
        """What of the encoder is trained, with its factor of the learning rate (Eq. 7); the final norm goes with the last block."""
        blocks = [(block, factor) for block, factor in zip(self.encoder.blocks, self.factors, strict=True) if factor > 0]
        return [*blocks, (self.encoder.norm, 1.0)]

    def parts(self) -> list[tuple[nn.Module, float]]:
        """All that is trained, with factors of the learning rate."""
        return [*self.encoder_parts(), (self.projector, 1.0), (self.predictor, 1.0)]


class Step:
    """Loss of one step (Algorithm 1), and what its features look like. Heads and loss see the whole batch in every process."""

    def __init__(self, model: Tuning, clips: Clips, settings: Tune) -> None:
        self.model, self.clips, self.settings = model, clips, settings

    def __call__(self, rows: Tensor, generator: torch.Generator) -> Tensor:
        y_views = self.features(rows, generator)
        device = y_views[0].device
        clips = rows.to(device)
        with arithmetic(device, self.settings.precision):
            g_views = [self.model.projector(y_bc) for y_bc in y_views]
            p_views = [self.model.predictor(g_bc) for g_bc in g_views]
        z_views = [normalize(g_bc.detach().float(), dim=1) for g_bc in g_views]
        found = [self.model.queue.nearest(z_bc, clips, self.settings.exclude_self) for z_bc in z_views]
        # With one view a neighbour is predicted from its own view, with two from the other.
        losses = [
            nnclr_loss(neighbours_bc, normalize(p_bc.float(), dim=1), self.settings.temperature)
            for (neighbours_bc, _), p_bc in zip(found, reversed(p_views), strict=True)
        ]
        self.model.queue.update(z_views[0], clips)
        self._newest = y_views[0].detach(), z_views[0], *found[0], clips
        return torch.stack(losses).mean()

    def features(self, rows: Tensor, generator: torch.Generator) -> tuple[Tensor, ...]:
        """Pooled encoder outputs (B, C) of each view; one pass of the encoder for all views of this process's share of the clips."""
        frames, own = self.model.encoder.shape.frames, parallel.share(len(rows))
        views = [random_crop(self.clips, rows, frames, self.settings.sampling, generator) for _ in range(self.settings.views)]
        x_bmtvc = torch.cat([view[own] for view in views])
        with arithmetic(x_bmtvc.device, self.settings.precision):
            y_views = clip_features(self.model.encoder, x_bmtvc, self.settings.bodies).float().chunk(self.settings.views)
        return tuple(parallel.gather(y_bc) for y_bc in y_views)

    def facts(self) -> dict[str, float]:
        """Of the newest step: spread and rank of the features, cosine to the neighbours, share of neighbours from the same clip."""
        y_bc, z_bc, neighbours_bc, owners_b, clips_b = self._newest
        cosine = (z_bc * neighbours_bc).sum(dim=1).mean().item()
        return dict(zip(FACTS, (feature_std(y_bc), effective_rank(y_bc), cosine, (owners_b == clips_b).float().mean().item()), strict=True))
