"""Settings of features and protocols."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from stars.config.base import MAX_STEPS, PRECISION, Count, Epochs, Fraction, Positive, Precision, Settings, key
from stars.config.training import Optimiser, Sampling, Schedule
from stars.config.tuning import TuneOptimiser

Compared = Literal["encoder", "standardised", "whitened", "projector", "predictor"]
Ties = Literal["similarity", "label"]
Reading = Literal["exemplars", "neighbours"]


class Embed(Settings):
    """Features of a trained encoder, computed once for every evaluation that reads them."""

    test_crop: Fraction = key(0.9, "centre crop: fraction of a clip's frames to keep (the released code: 0.95)")
    bodies: Literal["all", "present"] = key(
        "all", "bodies averaged into a clip's feature: all, absent ones included, or only present ones"
    )
    precision: Precision = key("fp32", PRECISION)


class Joints(Settings):
    """Joint positions as features, without an encoder."""

    frames: Count = key(32, "frames at which the joints are sampled, spread evenly over a clip")


class Knn(Settings):
    """K-nearest-neighbour protocol: cosine similarity, majority vote."""

    k: tuple[Count, ...] = key((1, 10), "numbers of neighbours; the first is the main result", min_length=1)
    ties: Ties = key(
        "similarity",
        "tie-breaking. similarity: the class with the larger summed similarity, then the lowest label; label: the "
        "lowest label, as in scikit-learn (the released code)",
    )
    outputs: tuple[Compared, ...] = key(
        ("encoder", "projector", "predictor"),
        "outputs to compare, if the method has them; the first is the main result. standardised, whitened: the "
        "encoder's output, scaled to unit variance per feature or per principal component (PCA), fitted on the "
        "training clips",
        min_length=1,
    )


class Linear(Settings):
    """Linear protocol: a classifier on the frozen encoder."""

    epochs: Count = key(100, "epochs")
    batch: Count = key(256, "batch size")
    max_steps: Count | None = key(None, MAX_STEPS)
    lr: Positive = key(0.1, "initial learning rate; cosine decay to 0, unless `steps` is set")
    steps: tuple[Epochs, ...] = key(
        (),
        "milestones: ascending epochs after which the learning rate is multiplied by `step_factor`; empty: cosine"
        " decay",
    )
    step_factor: Positive = key(0.1, "factor of the learning rate at each milestone")
    momentum: Fraction = key(0.9, "momentum of SGD")
    norm: bool = key(True, "whether BatchNorm without affine parameters precedes the linear layer (true: the paper)")
    sampling: Sampling = key(Sampling(), "training crops")
    cached_views: int = key(
        0,
        "0: a new crop of each clip in every epoch; K: train on K stored crops per clip (faster, not the paper's)",
        ge=0,
    )

    @model_validator(mode="after")
    def _falls(self) -> Linear:
        if list(self.steps) != sorted(set(self.steps)) or (self.steps and self.steps[-1] >= self.epochs):
            steps = ", ".join(f"{step:g}" for step in self.steps)
            raise ValueError(f"steps is [{steps}]: set ascending epochs below epochs ({self.epochs})")
        return self

    def schedule(self) -> Schedule:
        """The learning-rate schedule: no warm-up; cosine decay to 0, or steps."""
        falling = Schedule(epochs=self.epochs, warmup_epochs=0, batch=self.batch, lr=self.lr, min_lr=0)
        if not self.steps:
            return falling
        return TuneOptimiser(**falling.model_dump(), schedule="steps", steps=self.steps, step_factor=self.step_factor)


class Finetune(Settings):
    """Fine-tuning protocol: the whole encoder and an MLP head, trained on labels."""

    hidden: Count = key(2048, "hidden dimension of the head: Linear, BatchNorm, ReLU, Linear")
    token_dropout: float = key(0.3, "dropout rate of the encoder's outputs before pooling", ge=0, lt=1)
    drop_path: float | None = key(
        None,
        "stochastic depth: probability of dropping a branch of the last block, rising linearly from 0 at the "
        "first; null: 0.3 for a transformer, else 0",
        ge=0,
        lt=1,
    )
    label_smoothing: float = key(0.1, "label smoothing", ge=0, lt=1)
    layer_decay: Fraction | None = key(
        None,
        "layer-wise learning-rate decay: factor from each layer to the one below, down to the embeddings; null: "
        "0.8 for a pre-trained transformer, else 1",
    )
    sampling: Sampling = key(Sampling(), "training crops")
    optimiser: Optimiser = key(
        Optimiser(epochs=100, warmup_epochs=5, batch=48, lr=3e-4, min_lr=1e-5, betas=(0.9, 0.999), weight_decay=0.05),
        "AdamW and its schedule",
    )
    precision: Precision = key("fp32", PRECISION)
    score_epochs: Count = key(
        1, "epochs between evaluations on the test clips; the last epoch, the main result, is always evaluated"
    )


class Semi(Settings):
    """Semi-supervised protocol: fine-tuning on a fraction of the training clips (Table 9)."""

    fractions: tuple[Annotated[float, Field(gt=0, le=1)], ...] = key(
        (0.01, 0.1), "fractions of the training clips", min_length=1
    )
    subsets: Count = key(5, "random subsets of each size; the result is mean ± standard deviation over them")
    finetune: dict[str, Any] = key({"score_epochs": 10}, "overrides of `finetune`")


class Pair(Settings):
    """Data set of an encoder's training, and data set of its evaluation."""

    source: str = key(..., "data set that the encoder was trained on: a name under `data`")
    source_split: str | None = key(None, "its split; null: the first")
    target: str = key(..., "data set that it is evaluated on: a name under `data`")
    target_split: str | None = key(None, "its split; null: the first")


class Transfer(Settings):
    """Transfer protocol: fine-tuning on a data set other than the encoder's (Table 4)."""

    pairs: tuple[Pair, ...] = key(
        (), "list of `source`, `target` and, if not the first splits, `source_split` and `target_split`"
    )
    finetune: dict[str, Any] = key({}, "overrides of `finetune`")


class Shots(Settings):
    """Few-shot protocol: the nearest labelled clips of the novel classes vote (Table 5)."""

    shots: tuple[Count, ...] = key(
        (1, 2, 5),
        "n of n-shot: number of voting neighbours and, for `exemplars`, of labelled clips per class; the first is the"
        " main result",
        min_length=1,
    )
    readings: tuple[Reading, ...] = key(
        ("exemplars", "neighbours"),
        "interpretation of n-shot; the first is the main result. exemplars: n-NN among n random clips per novel "
        "class; neighbours: n-NN among all training clips of the novel classes, probably what the paper does",
        min_length=1,
    )
    ties: Ties = key("similarity", "as in `knn`, for `neighbours`; `exemplars` always uses similarity")
    draws: Count = key(5, "random draws of exemplars; the result is mean ± standard deviation over them")
    outputs: tuple[Compared, ...] = key(
        ("encoder", "projector", "predictor"),
        "as in `knn`; standardised and whitened are fitted on all training clips of the target, without labels",
        min_length=1,
    )


class FewShot(Shots):
    """Few-shot protocol and the pairs of data sets on which it runs."""

    pairs: tuple[Pair, ...] = key((), "as in `transfer`; the target's description lists its `novel` actions")
