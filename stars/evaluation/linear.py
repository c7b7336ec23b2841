"""Linear protocol: optional BatchNorm without parameters and one linear layer, trained on the frozen encoder (paper
§4.3, Table 1).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Generator, Tensor, nn

from stars.backbones.base import Backbone
from stars.config import Checkpoint, Embed, Linear, Settings
from stars.data.device import sent
from stars.data.store import ClipStore
from stars.evaluation.classifier import Training, fit
from stars.evaluation.features import BATCH, feature_file, frozen_features, open_encoder, read_features
from stars.evaluation.metrics import RESULT_FILES, Task, present, write_result
from stars.provenance import code
from stars.training.files import clip_inputs, facts, undertaken
from stars.training.plan import Plan, generator
from stars.training.schedule import schedule
from stars.training.weights import backbone_of
from stars.views.crop import Clips, random_view

STAGE = "stars.evaluation.linear"
Views = Callable[[Tensor, Generator], Tensor]  # (rows (B,), their step's generator) → training features (B, C)


class LinearStage(Settings):
    """Settings of the protocol; `embed` defines how the encoder is run."""

    seed: int
    linear: Linear
    embed: Embed


class Probe(nn.Sequential):
    """Optional BatchNorm1d(C, affine=False, eps 1e-6), then Linear: (B, C) → (B, classes)."""

    def __init__(self, width: int, classes: int, generator: Generator, norm: bool = True):
        linear = nn.Linear(width, classes)
        nn.init.trunc_normal_(linear.weight, std=0.01, generator=generator)
        nn.init.zeros_(linear.bias)
        super().__init__(*([nn.BatchNorm1d(width, affine=False, eps=1e-6)] if norm else []), linear)


def evaluate(
    method: Path,
    clips: Path,
    train: Path,
    test: Path,
    features: Path,
    target: str,
    out: Path,
    settings: LinearStage,
    checkpoint: Checkpoint,
    device: str = "cpu",
) -> None:
    """Run the protocol; write metrics.json, predictions.npz, curve.csv and record.json into `out`.

    Args:
        method: folder with encoder.safetensors; clips: clip store; train, test: split files.
        features: folder with the encoder's features of `target`, whose test side is scored.

    Raises:
        InputError: a file is missing or does not fit the others; fewer than two clips per step; the loss is not finite.
        Interrupted: a signal asked to stop; progress is saved.
    """
    weights, tested = Path(method) / "encoder.safetensors", feature_file(features, target, "test", "encoder")
    inputs = present(
        {**clip_inputs(Path(clips), Path(train)), "test": test, "encoder": weights, "test_features": tested}
    )
    with undertaken(
        out, code.of_backbone(STAGE, backbone_of(weights)), settings, inputs, (*RESULT_FILES, "curve.csv"), checkpoint
    ) as (
        work,
        notes,
    ):
        store = ClipStore.open(clips)
        task = Task.of(store, train, test, target)
        encoder = open_encoder(weights, store, device)
        plan = Plan.of(settings.seed, "linear", len(task.train_rows), settings.linear)
        before = fingerprint(encoder)
        test_nc = torch.from_numpy(read_features(features, task, "test", "encoder")).to(device)
        held = Clips.of(store, task.train_rows, device)
        probe = probing(training_views(encoder, held, settings), held.labels, test_nc, task.classes, plan, settings)
        fitted = fit(probe, task, plan, work)
        assert fingerprint(encoder) == before, (
            "the encoder is frozen: weights and buffers are bit-equal before and after"
        )
        notes.update(facts(plan, device, settings.embed.precision), earlier_runs=work.earlier)
        fitted.curve.write(Path(out) / "curve.csv")
        write_result(out, "linear", task, task.test_rows, [fitted.ranking], fitted.results(task), fitted.arrays)


def probing(views: Views, labels: Tensor, test_nc: Tensor, classes: int, plan: Plan, settings: LinearStage) -> Training:
    """Training of the probe with SGD. labels (N,) of the training clips; test_nc (test clips, C)."""
    linear = settings.linear
    probe = Probe(test_nc.shape[1], classes, generator(settings.seed, "linear", "probe"), linear.norm).to(labels.device)

    def forward(rows: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        return probe(views(rows, generator)), labels[sent(rows, labels.device)]

    optimiser = torch.optim.SGD(probe.parameters(), lr=linear.lr, momentum=linear.momentum)
    return Training(
        probe, optimiser, forward, lambda: probe(test_nc), schedule(plan.steps_per_epoch, linear.schedule())
    )


def training_views(encoder: Backbone, clips: Clips, settings: LinearStage) -> Views:
    """Features of training crops: a new crop of every clip in every epoch, or a random one of its K cached crops."""
    linear = settings.linear

    def fresh(rows: Tensor, generator: Generator) -> Tensor:
        return frozen_features(
            encoder, *random_view(clips, rows, encoder.frames, linear.sampling, generator), settings.embed
        )

    if not linear.cached_views:
        return fresh
    parts = torch.arange(len(clips)).split(BATCH)
    views = [
        torch.cat(
            [fresh(rows, generator(settings.seed, "linear", "view", view, part)) for part, rows in enumerate(parts)]
        )
        for view in range(linear.cached_views)
    ]
    stored_knc = torch.stack(views)

    def stored(rows: Tensor, generator: Generator) -> Tensor:
        chosen = torch.randint(len(stored_knc), (len(rows),), generator=generator)
        return stored_knc[sent(chosen, stored_knc.device), sent(rows, stored_knc.device)]

    return stored


def fingerprint(module: nn.Module) -> str:
    """Hex digest of a module's parameters and buffers, bit for bit."""
    total = hashlib.sha256()
    for name, value in sorted([*module.named_parameters(), *module.named_buffers()]):
        total.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    return total.hexdigest()
