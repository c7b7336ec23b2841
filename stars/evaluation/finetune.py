"""Fine-tuning and transfer: the whole encoder with an MLP head, trained with labels (paper §4.3, Tables 3 and 4).

Head, dropout and layer-wise learning rates follow the released MAMP, as in the paper. For transfer, the clips come from
another data set than the encoder's training clips.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch
from pydantic import model_validator
from torch import Generator, Tensor, nn

from stars.backbones.base import Backbone
from stars.backbones.clips import clip_features
from stars.config import Checkpoint, Finetune, Settings
from stars.config.base import Fraction
from stars.data.bodies import Bodies
from stars.data.device import sent
from stars.data.store import ClipStore
from stars.evaluation.classifier import Training, fit
from stars.evaluation.features import BATCH, check_joints
from stars.evaluation.metrics import RESULT_FILES, Task, present, write_result
from stars.provenance import code
from stars.training.files import clip_inputs, facts, undertaken
from stars.training.optimiser import optimiser_of
from stars.training.plan import Plan, seeded, seeded_by
from stars.training.precision import arithmetic
from stars.training.schedule import finetune_rates, schedule
from stars.training.weights import backbone_of, load_encoder
from stars.views.crop import Clips, centre_view, random_view

STAGE = "stars.evaluation.finetune"


class Finetuning(Settings):
    """Settings of fine-tuning; `test_crop` and `bodies` are those of `embed`."""

    seed: int
    finetune: Finetune
    test_crop: Fraction
    bodies: Literal["all", "present"]

    @model_validator(mode="after")
    def _decided(self) -> Finetuning:
        if self.finetune.layer_decay is None:
            raise ValueError("finetune.layer_decay: set a number, 1 for an encoder that is not pre-trained")
        return self


class FinetuneStage(Finetuning):
    """Settings of the protocol."""

    protocol: Literal["finetune", "transfer"] = "finetune"


def finetune(
    encoder: Path,
    clips: Path,
    train: Path,
    test: Path,
    target: str,
    out: Path,
    settings: FinetuneStage,
    checkpoint: Checkpoint,
    device: str = "cpu",
) -> None:
    """Run the protocol; write metrics.json, predictions.npz, curve.csv and record.json into `out`.

    Args:
        encoder: encoder.safetensors to start from; clips: clip store; train, test: split files; target: name of the
            data set.

    Raises:
        InputError: a file is missing or does not fit the others; fewer than two clips per step; the loss is not finite.
        Interrupted: a signal asked to stop; progress is saved.
    """
    inputs = present({**clip_inputs(Path(clips), Path(train)), "test": test, "encoder": encoder})
    with undertaken(
        out, code.of_backbone(STAGE, backbone_of(encoder)), settings, inputs, (*RESULT_FILES, "curve.csv"), checkpoint
    ) as (
        work,
        notes,
    ):
        store = ClipStore.open(clips)
        task = Task.of(store, train, test, target)
        plan = Plan.of(settings.seed, settings.protocol, len(task.train_rows), settings.finetune.optimiser)
        trained, tested = (Clips.of(store, rows, device) for rows in (task.train_rows, task.test_rows))
        training = finetuning(starting_encoder(encoder, store), trained, tested, task.classes, plan, settings)
        fitted = fit(training, task, plan, work)
        notes.update(facts(plan, device, settings.finetune.precision), earlier_runs=work.earlier)
        fitted.curve.write(Path(out) / "curve.csv")
        write_result(
            out, settings.protocol, task, task.test_rows, [fitted.ranking], fitted.results(task), fitted.arrays
        )


def starting_encoder(path: Path, store: ClipStore) -> Backbone:
    """The encoder of a file; InputError if its joints are not the store's."""
    encoder = load_encoder(path)
    check_joints(encoder, store, path)
    return encoder


class Classifier(nn.Module):
    """Encoder, its classifier input averaged over bodies, and the head."""

    def __init__(self, encoder: Backbone, classes: int, options: Finetune, bodies: Literal["all", "present"]) -> None:
        super().__init__()
        self.encoder, self.bodies = encoder.requires_grad_(True), bodies
        encoder.drop_paths(encoder.drop_path if options.drop_path is None else options.drop_path)
        self.dropout = nn.Dropout(options.token_dropout)
        self.head = nn.Sequential(
            nn.Linear(encoder.classifier_width, options.hidden),
            nn.BatchNorm1d(options.hidden),
            nn.ReLU(),
            nn.Linear(options.hidden, classes),
        )
        for part in self.head:
            if isinstance(part, nn.Linear):
                nn.init.xavier_uniform_(part.weight)
                nn.init.zeros_(part.bias)

    def forward(self, x_bmtvc: Tensor, known: Bodies | None = None) -> Tensor:
        """Clips (B, M, T, V, 3), and the masks of their bodies → scores (B, classes); training uses separate dropout
        for each body.
        """
        return self.head(
            clip_features(self.encoder, x_bmtvc, self.bodies, self.encoded, distinct=not self.training, known=known)
        )

    def encoded(self, x: Tensor) -> Tensor:
        """The head's input for bodies (R, T, V, 3), or for clips."""
        return self.encoder.for_classifier(x, self.dropout)

    def parts(self, decay: float) -> list[tuple[nn.Module, float]]:
        """Trained parts, with factors of the learning rate."""
        layers = self.encoder.layers()
        bottom, *blocks, top = finetune_rates(len(layers.blocks), decay)
        below, above = (
            ((module, bottom) for module in layers.stem),
            ((module, top) for module in (*layers.top, self.head)),
        )
        return [*below, *zip(layers.blocks, blocks, strict=True), *above]


def finetuning(
    encoder: Backbone, train: Clips, test: Clips, classes: int, plan: Plan, settings: Finetuning
) -> Training:
    """Training of the classifier on the clips `train`, scored on centre crops of `test`."""
    options, device, frames = settings.finetune, train.device, encoder.frames
    with seeded(plan.seed, plan.stage, "head"):
        model = Classifier(encoder, classes, options, settings.bodies).to(device)

    def forward(rows: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        view = random_view(train, rows, frames, options.sampling, generator)
        with arithmetic(device, options.precision), seeded_by(generator, device):
            return model(*view), train.labels[sent(rows, device)]

    def test_scores() -> Tensor:
        with arithmetic(device, options.precision):
            views = (
                centre_view(test, rows, frames, settings.test_crop) for rows in torch.arange(len(test)).split(BATCH)
            )
            return torch.cat([model(*view).float() for view in views])

    assert options.layer_decay is not None  # required by the stage's settings
    optimiser = optimiser_of(model.parts(options.layer_decay), options.optimiser)
    rate = schedule(plan.steps_per_epoch, options.optimiser)
    return Training(
        model, optimiser, forward, test_scores, rate, options.label_smoothing, options.score_epochs, options.precision
    )
