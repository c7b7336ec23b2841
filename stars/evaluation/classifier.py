"""Shared by the protocols that train a classifier: training with the common loop and scoring on the test split.

The headline is the classifier after the last epoch; the best scored epoch is reported beside it but never selected.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from stars.evaluation.metrics import Task, rank, score
from stars.training.checkpoint import Work
from stars.training.curve import Curve
from stars.training.loop import Job, train
from stars.training.plan import Plan

COLUMNS = ("train_top1", "test_top1", "test_top5")


@dataclass
class Training:
    """A classifier and its training.

    Attributes:
        forward: the rows (B,) of a step and its generator → scores (B, classes) and labels (B,).
        test_scores: () → (test clips, classes), called in evaluation mode.
        rate: learning rate of a step.
        smoothing: label smoothing of the cross-entropy.
        score_epochs: epochs between scorings of the test clips; the last epoch is always scored.
        precision: arithmetic of `forward`, fp32 or bf16.
    """

    model: nn.Module
    optimiser: torch.optim.Optimizer
    forward: Callable[[Tensor, Generator], tuple[Tensor, Tensor]]
    test_scores: Callable[[], Tensor]
    rate: Callable[[int], float]
    smoothing: float = 0.0
    score_epochs: int = 1
    precision: str = "fp32"

    def loss(self, rows: Tensor, generator: Generator, tally: Tally) -> Tensor:
        """Cross-entropy of a step; counts correct predictions."""
        scores, labels = self.forward(rows, generator)
        tally.count(scores.detach(), labels)
        return F.cross_entropy(scores.float(), labels, label_smoothing=self.smoothing)

    def scores(self) -> np.ndarray:
        """The test clips' scores (N, classes) float32."""
        self.model.eval()
        with torch.no_grad():
            return self.test_scores().float().cpu().numpy()


class Tally:
    """Counts correctly classified training clips since the last `take`; survives a restart."""

    def __init__(self) -> None:
        self.right, self.seen = torch.zeros(()), 0

    def count(self, scores_bk: Tensor, labels_b: Tensor) -> None:
        """Add a step's predictions, without synchronising with the device."""
        self.right = self.right + (scores_bk.argmax(dim=1) == labels_b).sum()
        self.seen += len(labels_b)

    def take(self) -> float:
        """Accuracy in percent; resets the count."""
        percent = 100 * self.right.item() / self.seen
        self.right, self.seen = torch.zeros(()), 0
        return percent

    def state_dict(self) -> dict[str, Any]:
        return {"right": self.right.item(), "seen": self.seen}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.right, self.seen = torch.tensor(state["right"]), state["seen"]


@dataclass(frozen=True)
class Fitted:
    """A trained classifier's curve, and its scores of the test clips after the last epoch, (N, classes)."""

    curve: Curve
    scores: np.ndarray
    epochs: float

    @property
    def ranking(self) -> np.ndarray:
        """The test clips' classes, best first, (N, ≤ 5)."""
        return rank(self.scores)

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """Arrays for predictions.npz, used by fusion: `scores`, float16."""
        return {"scores": self.scores.astype(np.float16)}

    def results(self, task: Task) -> list[dict[str, Any]]:
        """`last` and `best` epoch with number and accuracies; ties go to the first epoch."""
        last = {"number": self.epochs, **score(self.ranking, task)}
        scored = [
            {"number": row["epoch"], "top1": row["test_top1"], "top5": row["test_top5"]}
            for row in self.curve.rows
            if "test_top1" in row
        ]
        best = max(scored or [last], key=lambda row: row["top1"])
        return [
            {"epoch": which, **row, "number": _number(row["number"])} for which, row in (("last", last), ("best", best))
        ]


def _number(epoch: float) -> float:
    return int(epoch) if epoch == int(epoch) else round(epoch, 4)


def fit(training: Training, task: Task, plan: Plan, work: Work) -> Fitted:
    """Train with cross-entropy, scoring the test clips at intervals; raises what the loop raises."""
    tally = Tally()

    def at_epoch(epochs: int) -> dict[str, float]:
        measured = {"train_top1": tally.take()}
        if epochs % training.score_epochs and epochs < plan.epochs:
            return measured
        return measured | {f"test_{name}": value for name, value in score(rank(training.scores()), task).items()}

    names = task.names[task.train_rows].tolist()
    loss = partial(training.loss, tally=tally)
    job = Job(
        training.model, training.optimiser, loss, training.rate, names, at_epoch=at_epoch, columns=COLUMNS, kept=tally
    )
    job.precision = training.precision
    curve = train(job, plan, work)
    return Fitted(curve, training.scores(), plan.epochs)
