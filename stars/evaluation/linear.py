"""Linear protocol: BatchNorm without parameters and one linear layer, trained on the frozen encoder (paper §4.3, Table 1)."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from stars.config import Embed, Linear, Settings
from stars.data.sampling import Clips, random_crop
from stars.data.store import ClipStore
from stars.errors import InputError
from stars.evaluation.features import BATCH, feature_file, frozen_features, open_encoder, read_features
from stars.evaluation.metrics import RESULT_FILES, Task, present, rank, score, write_result
from stars.model.encoder import Encoder
from stars.provenance.files import write_text
from stars.provenance.record import recording
from stars.training.files import clip_inputs
from stars.training.progress import Progress

Views = Callable[[int, int, Tensor], Tensor]  # (epoch, step, rows (B,)) → training features (B, C)
INIT, ORDER, CROP = range(3)  # what a generator is for, the second part of its seed


class LinearStage(Settings):
    """Everything the protocol is told; `embed` holds how the encoder is run."""

    seed: int
    linear: Linear
    embed: Embed


class Probe(nn.Sequential):
    """BatchNorm1d(C, affine=False, eps 1e-6) → Linear: (B, C) → (B, classes)."""

    def __init__(self, width: int, classes: int, generator: Generator):
        norm, linear = nn.BatchNorm1d(width, affine=False, eps=1e-6), nn.Linear(width, classes)
        nn.init.trunc_normal_(linear.weight, std=0.01, generator=generator)
        nn.init.zeros_(linear.bias)
        super().__init__(norm, linear)


def evaluate(
    method: Path,
    clips: Path,
    train: Path,
    test: Path,
    features: Path,
    target: str,
    out: Path,
    settings: LinearStage,
    device: str = "cpu",
) -> None:
    """Run the protocol; write metrics.json, predictions.npz, curve.csv and record.json into `out`.

    The headline is the last epoch; the best test epoch stands beside it in `results` and chooses nothing.

    Args:
        method: folder with encoder.safetensors; clips: clip store; train, test: split files.
        features: folder with the encoder's features of `target`, whose test side is what is scored.

    Raises:
        InputError: a file is missing or does not fit the others; fewer than two clips a step; the loss is not finite.
    """
    store = ClipStore.open(clips)
    task = Task.of(store, train, test, target)
    weights, tested = Path(method) / "encoder.safetensors", feature_file(features, target, "test", "encoder")
    inputs = present({**clip_inputs(Path(clips), Path(train)), "test": test, "encoder": weights, "test_features": tested})
    files = (*RESULT_FILES, "curve.csv")
    with recording(out, "stars.evaluation.linear", settings.model_dump(mode="json"), inputs, files):
        encoder = open_encoder(weights, store, device)
        before = fingerprint(encoder)
        test_nc = torch.from_numpy(read_features(features, task, "test", "encoder")).to(device)
        views = training_views(encoder, Clips.of(store, task.train_rows, device), settings)
        curve, rankings = fit(views, torch.from_numpy(task.train_labels).to(device), test_nc, task, settings)
        assert fingerprint(encoder) == before, "the encoder is frozen: weights and buffers are bit-equal before and after"
        write_text(Path(out) / "curve.csv", pd.DataFrame(curve).to_csv(index=False, float_format="%.6g", lineterminator="\n"))
        write_result(out, "linear", task, task.test_rows, rankings["last"][1], _results(rankings, task))


def _results(rankings: dict[str, tuple[int, np.ndarray]], task: Task) -> list[dict[str, object]]:
    return [{"epoch": which, "number": number, **score(ranking, task)} for which, (number, ranking) in rankings.items()]


def fit(
    views: Views, labels: Tensor, test_nc: Tensor, task: Task, settings: LinearStage
) -> tuple[list[dict[str, float]], dict[str, tuple[int, np.ndarray]]]:
    """Train the probe.

    Args:
        labels: (N,) of the training clips; test_nc: (test clips, C).

    Returns the curve, a row an epoch, and the class rankings of the "last" and the "best" epoch (its first) with its number.
    """
    linear = settings.linear
    steps = steps_per_epoch(len(labels), linear.batch)
    probe = Probe(test_nc.shape[1], task.classes, generator(settings.seed, INIT)).to(labels.device)
    optimiser = torch.optim.SGD(probe.parameters(), lr=linear.lr, momentum=linear.momentum, weight_decay=0)
    curve: list[dict[str, float]] = []
    rankings: dict[str, tuple[int, np.ndarray]] = {}
    with Progress("linear", linear.epochs * steps, steps, min(linear.batch, len(labels))) as progress:
        for epoch in range(linear.epochs):
            losses, right = [], []
            for step, rows in batches(len(labels), linear.batch, settings.seed, epoch):
                rate = cosine(epoch * steps + step, linear.epochs * steps, linear.lr)
                loss, hits = train_step(probe, optimiser, views(epoch, step, rows), labels[rows], rate)
                losses.append(loss)
                right.append(hits)
                if progress.due():
                    progress.show(epoch * steps + step + 1, loss.item())
            ranking = predict(probe, test_nc)
            curve.append(_row(epoch + 1, torch.stack(losses), torch.cat(right), score(ranking, task)["top1"]))
            if not curve[:-1] or curve[-1]["test_top1"] > max(row["test_top1"] for row in curve[:-1]):
                rankings["best"] = epoch + 1, ranking
    return curve, {"last": (linear.epochs, ranking), "best": rankings["best"]}


def train_step(probe: Probe, optimiser: torch.optim.Optimizer, x_bc: Tensor, labels: Tensor, rate: float) -> tuple[Tensor, Tensor]:
    """One step of SGD on cross-entropy at learning rate `rate`; its loss (scalar) and which clips were right (B,), before the step."""
    for group in optimiser.param_groups:
        group["lr"] = rate
    probe.train()
    scores = probe(x_bc)
    loss = F.cross_entropy(scores, labels)
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    return loss.detach(), scores.argmax(dim=1) == labels


def _row(epoch: int, losses: Tensor, right: Tensor, test_top1: float) -> dict[str, float]:
    loss = losses.double().mean().item()
    if not math.isfinite(loss):
        raise InputError(f"the linear probe's loss is {loss} in epoch {epoch}: lower linear.lr")
    return {"epoch": epoch, "loss": loss, "train_top1": 100 * right.double().mean().item(), "test_top1": test_top1}


@torch.no_grad()
def predict(probe: Probe, features: Tensor) -> np.ndarray:
    """Class rankings (N, ≤ 5) of features (N, C), in eval mode."""
    return rank(probe.eval()(features).cpu().numpy())


def training_views(encoder: Encoder, clips: Clips, settings: LinearStage) -> Views:
    """Features of training crops: a fresh crop of every clip in every epoch, or view e mod K of K stored ones in epoch e."""
    linear, shape = settings.linear, encoder.shape

    def fresh(epoch: int, step: int, rows: Tensor) -> Tensor:
        x_bmtvc = random_crop(clips, rows, shape.frames, linear.sampling, generator(settings.seed, CROP, epoch, step))
        return frozen_features(encoder, x_bmtvc, settings.embed)

    if not linear.cached_views:
        return fresh
    parts = torch.arange(len(clips)).split(BATCH)
    stored = [torch.cat([fresh(view, step, rows) for step, rows in enumerate(parts)]) for view in range(linear.cached_views)]
    return lambda epoch, step, rows: stored[epoch % linear.cached_views][rows]


def steps_per_epoch(clips: int, batch: int) -> int:
    """Whole batches of an epoch; fewer clips than a batch make one. InputError if a step has one clip: BatchNorm needs two."""
    if min(clips, batch) < 2:
        raise InputError(f"the linear protocol needs two clips a step, but linear.batch is {batch} and there are {clips} training clips")
    return max(1, clips // batch)


def batches(clips: int, batch: int, seed: int, epoch: int) -> Iterator[tuple[int, Tensor]]:
    """(step, rows (B,)) of one epoch in an order drawn from (seed, epoch); the incomplete last batch is dropped unless it is the only one."""
    order = torch.randperm(clips, generator=generator(seed, ORDER, epoch))
    return enumerate(order.split(batch)[: steps_per_epoch(clips, batch)])


def cosine(step: int, steps: int, lr: float) -> float:
    """Learning rate of the step numbered `step` (from 0): half a cosine from `lr` to 0."""
    return lr * 0.5 * (1 + math.cos(math.pi * step / steps))


def generator(seed: int, *place: int) -> Generator:
    """A CPU generator that is a pure function of the seed and of what and where it is for."""
    state = np.random.SeedSequence((seed, *place)).generate_state(1, np.uint64)[0]
    return Generator().manual_seed(int(state) & (2**63 - 1))


def fingerprint(module: nn.Module) -> str:
    """Hex digest of a module's parameters and buffers, bit for bit."""
    total = hashlib.sha256()
    for name, value in sorted([*module.named_parameters(), *module.named_buffers()]):
        total.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    return total.hexdigest()
