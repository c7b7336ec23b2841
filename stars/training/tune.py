"""Stage 2: tunes the upper blocks of a trained encoder with a contrastive loss (paper §3.3, Eq. 7)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import field_serializer, model_validator

from stars import objectives
from stars.backbones.base import Backbone
from stars.config import Checkpoint, Settings, Tune
from stars.data.store import ClipStore
from stars.errors import InputError
from stars.provenance import code
from stars.training.files import clip_inputs
from stars.training.plan import generator, seeded
from stars.training.run import StepSettings, run
from stars.training.schedule import layer_rates
from stars.training.trained import Trained, tuned_parts
from stars.training.weights import backbone_of, fill_heads, load_encoder
from stars.views.crop import View, random_views
from stars.views.spatial import augment


class TuneStage(Settings):
    """Settings of stage 2; the model's shape comes from the parent encoder's file."""

    seed: int
    tune: Tune
    mirror: tuple[tuple[int, int], ...] = ()  # left and right joint of each pair, for flips
    stem: bool = False  # also tune the layers before the blocks, if the parent's weights are random

    @model_validator(mode="after")
    def _complete(self) -> TuneStage:
        objectives.options(self.tune)
        if self.tune.augment.flip > 0 and not self.mirror:
            raise ValueError("tune.augment.flip needs the data set's mirror pairs: set mirror")
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
        clips: folder of the clip store; train: its training rows (.npy); parent: the initial encoder.safetensors.
        out: folder for encoder.safetensors, heads.safetensors, settings.yaml, curve.csv, record.json.
        heads: the initial heads.safetensors; None: new heads.

    Raises InputError for bad input and for a loss that is not finite, Interrupted after a signal to stop.
    """

    def made(store: ClipStore) -> tuple[Trained, StepSettings]:
        encoder = load_encoder(parent)
        if encoder.joints != store.joints:
            raise InputError(
                f"{parent} has {encoder.joints} joints, but the clips in {clips} have {store.joints}: choose an encoder"
                " trained on them"
            )
        if not {joint for pair in settings.mirror for joint in pair} <= set(range(store.joints)):
            raise InputError(
                f"mirror contains joints beyond the {store.joints} (from 0) of the clips in {clips}: correct it"
            )
        model = tuning(encoder, settings)
        if heads:
            fill_heads(heads, model.objective.kept())
            model.objective.reset_copies(model.by_name)
        return model, step_settings(model, settings)

    inputs = clip_inputs(clips, train, parent=parent, **({"heads": heads} if heads else {}))
    run(code.of_tuning(settings.tune.strategy, backbone_of(parent)), settings, inputs, out, checkpoint, device, made)


def tuning(encoder: Backbone, settings: TuneStage) -> Trained:
    """A trained encoder and a strategy with new heads. Everything below the upper blocks is frozen."""
    options = settings.tune
    factors = layer_rates(
        len(encoder.layers().blocks), options.layer_decay, options.tuned_blocks, options.last_exponent
    )
    stem = factors[0] * options.layer_decay if settings.stem else 0.0
    loss, memory = objectives.find(options.strategy), generator(settings.seed, "queue")
    networks = {"encoder": encoder}
    with seeded(settings.seed, "heads"):
        return Trained(
            networks, tuned_parts(encoder, factors, stem), lambda: loss(networks, objectives.options(options), memory)
        )


def step_settings(model: Trained, settings: TuneStage) -> StepSettings:
    """The settings of a training step."""
    options, frames = settings.tune, next(iter(model.by_name.values())).frames
    crops = model.objective.crops(options.sampling)

    def views(clips, rows, generator):  # type: ignore[no-untyped-def]
        cut = random_views(clips, rows, frames, list(crops.values()), options.shared_crop, generator)
        return {
            name: View(augment(x_bmtvc, options.augment, settings.mirror, generator), bodies)
            for name, (x_bmtvc, bodies) in zip(crops, cut, strict=True)
        }

    objective = options.strategy, objectives.options(options)
    return StepSettings(
        "tune",
        objective,
        settings.seed,
        options.optimiser,
        views,
        options.bodies,
        options.precision,
        options.knn_epochs,
    )
