"""Settings of features and protocols."""

from __future__ import annotations

from typing import Literal

from stars.config.base import Count, Fraction, Positive, Settings, key
from stars.config.training import Sampling, Schedule


class Embed(Settings):
    """Features of a trained encoder, computed once for every evaluation that reads them."""

    test_crop: Fraction = key(0.9, "share of a clip's frames kept, from its centre (release .95)")
    bodies: Literal["all", "present"] = key("all", "bodies averaged into a clip's feature")
    precision: Literal["fp32", "bf16"] = key("fp32", "arithmetic of the matrix products")


class Knn(Settings):
    """K-nearest-neighbour protocol: cosine similarity, majority vote."""

    k: tuple[Count, ...] = key((1, 10), "numbers of neighbours; the first is the headline", min_length=1)
    outputs: tuple[Literal["encoder", "projector", "predictor"], ...] = key(
        ("encoder", "projector", "predictor"),
        "whose outputs are compared, where the method has them; the first is the headline",
        min_length=1,
    )


class Linear(Settings):
    """Linear protocol: a classifier on the frozen encoder."""

    epochs: Count = key(100, "passes over the training clips")
    batch: Count = key(256, "clips a step")
    lr: Positive = key(0.1, "learning rate at the start; half-cosine to 0")
    momentum: Fraction = key(0.9, "momentum of SGD")
    sampling: Sampling = key(Sampling(), "training crops")
    cached_views: int = key(
        0, "0: a fresh crop of every clip in every epoch; K: train on K stored crops of each clip (faster, not the paper's)", ge=0
    )

    def schedule(self) -> Schedule:
        """The learning rate as a schedule: no warm-up, down to 0."""
        return Schedule(epochs=self.epochs, warmup_epochs=0, batch=self.batch, lr=self.lr, min_lr=0)
