"""Stage 2: the encoder's upper blocks tuned with a contrastive loss (paper §3.3, Eq. 7) as a step of the training loop.

What is particular to a loss stands in `stars.training.losses`; here is what all have in common.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from pydantic import field_serializer, model_validator
from torch import Tensor, nn

from stars.config import Checkpoint, Settings, Tune
from stars.data.augment import augment
from stars.data.sampling import Clips, View, random_views
from stars.data.sending import sent
from stars.errors import InputError
from stars.model.encoder import Encoder, counted_bodies, distinct_bodies
from stars.provenance import code
from stars.training import losses, memory, online_knn, parallel
from stars.training.collapse import effective_rank, feature_std
from stars.training.files import clip_inputs, facts, held_clips, training_clips, undertaken, write_settings
from stars.training.loop import Job
from stars.training.loop import train as run
from stars.training.losses.strategy import Batch
from stars.training.optimiser import adamw, clip_gradients
from stars.training.plan import Plan, generator, seeded
from stars.training.schedule import layer_rates, schedule
from stars.training.weights import fill_heads, load_encoder, save_encoder, save_heads

OUTPUTS = ("encoder.safetensors", "heads.safetensors", "settings.yaml", "curve.csv")
FACTS = ("feature_std", "effective_rank")


class TuneStage(Settings):
    """All that stage 2 is told; the model's shape stands in the parent encoder's file."""

    seed: int
    tune: Tune
    mirror: tuple[tuple[int, int], ...] = ()  # left and right joint of each pair, for flips

    @model_validator(mode="after")
    def _complete(self) -> TuneStage:
        losses.options(self.tune)
        if self.tune.augment.flip > 0 and not self.mirror:
            raise ValueError("tune.augment.flip needs the data set's mirror pairs: give mirror")
        return self

    @field_serializer("tune")
    def _read(self, tune: Tune) -> dict[str, Any]:
        return tune.read()


def tune(
    clips: Path,
    train: Path,
    parent: Path,
    out: Path,
    settings: TuneStage,
    checkpoint: Checkpoint,
    device: str = "cpu",
    heads: Path | None = None,
) -> None:
    """Tune the upper blocks of a trained encoder together with heads.

    Args:
        clips: folder of the clip store; train: rows of it that train (.npy); parent: the encoder.safetensors to start from.
        out: folder for encoder.safetensors, heads.safetensors, settings.yaml, curve.csv, record.json.
        heads: the heads.safetensors to start from; None: new ones.

    Raises InputError for bad input and for a loss that is not finite, Interrupted when told to stop.
    """
    inputs = clip_inputs(clips, train, parent=parent, **({"heads": heads} if heads else {}))
    with undertaken(out, code.of_tuning(settings.tune.strategy), settings, inputs, OUTPUTS, checkpoint) as (work, notes):
        store, index = training_clips(clips, train)
        plan = Plan.of(settings.seed, "tune", len(index), settings.tune.optimiser)
        encoder = load_encoder(parent)
        if encoder.joints != store.joints:
            raise InputError(
                f"{parent} is for {encoder.joints} joints, but the clips in {clips} have {store.joints}: choose an encoder trained on them"
            )
        if not {joint for pair in settings.mirror for joint in pair} <= set(range(store.joints)):
            raise InputError(f"mirror names joints that the clips in {clips} do not have: they have {store.joints}, from 0")
        model = Tuning(encoder, settings)
        if heads:
            fill_heads(heads, model.strategy.heads())
            model.strategy.heads_filled()
        held, every = held_clips("tune", store, index, device), settings.tune.knn_epochs
        step = Step(model.to(device), held, settings)
        step.check_memory(plan)
        job = Job(
            model,
            adamw(model.parts(), settings.tune.optimiser),
            step,
            schedule(plan.steps_per_epoch, settings.tune.optimiser),
            [store.names[row] for row in index],
            after=lambda done: model.strategy.after(encoder, done, plan.steps),
            facts=step.facts,
            at_epoch=online_knn.watch(model.strategy.result(encoder), held, every, settings.tune.precision),
            clip=lambda: clip_gradients(model.parameters(), settings.tune.optimiser),
            columns=(*FACTS, *model.strategy.columns, *online_knn.columns(every)),
            precision=settings.tune.precision,
        )
        curve = run(job, plan, work)
        if parallel.rank() > 0:
            return
        notes.update(facts(plan, device), earlier_runs=work.earlier)
        curve.write(out / "curve.csv")
        write_settings(out / "settings.yaml", settings)
        save_heads(out / "heads.safetensors", **model.strategy.heads())
        save_encoder(out / "encoder.safetensors", model.strategy.result(encoder))


class Tuning(nn.Module):
    """Encoder and strategy. Embeddings, positions and lower blocks are frozen; what the strategy adds to the encoder is a seed's own."""

    def __init__(self, encoder: Encoder, settings: TuneStage) -> None:
        super().__init__()
        options = settings.tune
        self.factors = layer_rates(encoder.shape.depth, options.layer_decay, options.tuned_blocks, options.last_exponent)
        self.encoder = encoder.requires_grad_(False)
        for module, _ in self.encoder_parts():
            module.requires_grad_(True)
        with seeded(settings.seed, "heads"):
            self.strategy = losses.find(options.strategy)(encoder, losses.options(options), generator(settings.seed, "queue"))

    def encoder_parts(self) -> list[tuple[nn.Module, float]]:
        """What of the encoder is trained, with its factor of the learning rate (Eq. 7); the final norm has the full rate."""
        blocks = [(block, factor) for block, factor in zip(self.encoder.blocks, self.factors, strict=True) if factor > 0]
        return [*blocks, (self.encoder.norm, 1.0)] if blocks else []

    def parts(self) -> list[tuple[nn.Module, float]]:
        """All that is trained, with factors of the learning rate."""
        return [*self.encoder_parts(), *((head, 1.0) for head in self.strategy.heads().values())]


class Step:
    """Loss of one step, and what its features look like. Heads and loss see the whole batch in every process."""

    def __init__(self, model: Tuning, clips: Clips, settings: TuneStage) -> None:
        self.model, self.clips, self.settings, self.mirror = model, clips, settings.tune, settings.mirror

    def __call__(self, rows: Tensor, generator: torch.Generator) -> Tensor:
        batch = self.batch(rows, self.views(rows, generator), generator)
        loss, facts = self.model.strategy(batch)
        self._newest = batch.seen, facts
        return loss

    def batch(self, rows: Tensor, views: list[View], generator: torch.Generator) -> Batch:
        """What the strategy is given of the clips `rows`."""
        return Batch(self.model.encoder, views, sent(rows, self.clips.device), self.clips.labels, self.settings, generator)

    def views(self, rows: Tensor, generator: torch.Generator) -> list[View]:
        """This process's share of the crops (b, M, T, V, 3) that the strategy asks for, augmented as told; drawn for the whole batch."""
        frames, own = self.model.encoder.shape.frames, parallel.share(len(rows))
        crops = self.model.strategy.crops(self.settings.sampling)
        whole = random_views(self.clips, rows, frames, crops, self.settings.shared_crop, generator)
        return [View(augment(x_bmtvc, self.settings.augment, self.mirror, generator), bodies).of(own) for x_bmtvc, bodies in whole]

    def facts(self) -> dict[str, float]:
        """Of the newest step: spread and rank of the features, and what the strategy measured."""
        y_bc, own = self._newest
        return {"feature_std": feature_std(y_bc), "effective_rank": effective_rank(y_bc)} | {
            name: fact.item() for name, fact in own.items()
        }

    def check_memory(self, plan: Plan) -> None:
        """InputError if a step does not fit."""
        rows = plan.rows(0)
        generator = plan.generator(0)
        views = self.views(rows, generator)

        def forward(clips: int) -> object:
            return self.model.strategy(self.batch(rows[: clips * parallel.count()], [view.of(slice(clips)) for view in views], generator))

        def encoded(clips: int) -> int:
            known = [view.bodies.of(slice(clips)) for view in views]
            return sum(len(distinct_bodies(one, counted_bodies(one.absent_bm, self.settings.bodies))[0]) for one in known)

        sizes = tuple(encoded(clips) for clips in (*memory.SAMPLES, len(views[0].x_bmtvc)))
        memory.check_step("tune", self.model, forward, sizes, self.clips.device)
