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

    test_crop: Fraction = key(0.9, "share of a clip's frames to keep, around its centre (release .95)")
    bodies: Literal["all", "present"] = key("all", "bodies averaged into a clip's feature")
    precision: Precision = key("fp32", PRECISION)


class Joints(Settings):
    """Joint positions as features, without an encoder."""

    frames: Count = key(32, "frames at which the joints are taken, spread evenly over a clip")


class Knn(Settings):
    """K-nearest-neighbour protocol: cosine similarity, majority vote."""

    k: tuple[Count, ...] = key((1, 10), "numbers of neighbours; the first is the main result", min_length=1)
    ties: Ties = key(
        "similarity",
        "tie-breaking rule. similarity: those of the larger summed similarity, then of the lowest label; label: those of the "
        "lowest label, as in scikit-learn, which the released code uses",
    )
    outputs: tuple[Compared, ...] = key(
        ("encoder", "projector", "predictor"),
        "outputs to compare, if the method has them; the first is the main result. standardised, whitened: the encoder's, rescaled to "
        "variance 1 in each feature, or by PCA in each principal direction, as the training clips have it",
        min_length=1,
    )


class Linear(Settings):
    """Linear protocol: a classifier on the frozen encoder."""

    epochs: Count = key(100, "passes over the training clips")
    batch: Count = key(256, "clips per step (batch size)")
    max_steps: Count | None = key(None, MAX_STEPS)
    lr: Positive = key(0.1, "initial learning rate; decays to 0 by half a cosine, unless `steps` is given")
    steps: tuple[Epochs, ...] = key((), "epochs after which the learning rate is reduced, ascending; none: half a cosine")
    step_factor: Positive = key(0.1, "factor of the learning rate at each of `steps`")
    momentum: Fraction = key(0.9, "momentum of SGD")
    norm: bool = key(True, "batch normalisation without parameters before the linear layer (the paper); false: only the linear layer")
    sampling: Sampling = key(Sampling(), "training crops")
    cached_views: int = key(
        0, "0: a fresh crop of every clip in every epoch; K: train on K stored crops of each clip (faster, not the paper's)", ge=0
    )

    @model_validator(mode="after")
    def _falls(self) -> Linear:
        if list(self.steps) != sorted(set(self.steps)) or (self.steps and self.steps[-1] >= self.epochs):
            steps = ", ".join(f"{step:g}" for step in self.steps)
            raise ValueError(f"steps is [{steps}]: give ascending epochs below epochs ({self.epochs})")
        return self

    def schedule(self) -> Schedule:
        """The learning rate as a schedule: no warm-up, down to 0 or by steps."""
        falling = Schedule(epochs=self.epochs, warmup_epochs=0, batch=self.batch, lr=self.lr, min_lr=0)
        if not self.steps:
            return falling
        return TuneOptimiser(**falling.model_dump(), schedule="steps", steps=self.steps, step_factor=self.step_factor)


class Finetune(Settings):
    """Fine-tuning protocol: the whole encoder and an MLP head, trained on labels."""

    hidden: Count = key(2048, "hidden dimension of the head: Linear, BatchNorm, ReLU, Linear")
    token_dropout: float = key(0.3, "dropout rate on the encoder's outputs before pooling", ge=0, lt=1)
    drop_path: float | None = key(
        None,
        "stochastic depth: probability of dropping a branch of the last block, rising linearly from 0 at the first; null: .3, and 0 where the "
        "encoder is no transformer",
        ge=0,
        lt=1,
    )
    label_smoothing: float = key(0.1, "label smoothing", ge=0, lt=1)
    layer_decay: Fraction | None = key(
        None,
        "layer-wise learning-rate decay: factor from each layer to the one below it, down to the embeddings; null: .8, and 1 if the "
        "encoder is not a transformer or not pre-trained",
    )
    sampling: Sampling = key(Sampling(), "training crops")
    optimiser: Optimiser = key(
        Optimiser(epochs=100, warmup_epochs=5, batch=48, lr=3e-4, min_lr=1e-5, betas=(0.9, 0.999), weight_decay=0.05),
        "AdamW and its schedule",
    )
    precision: Precision = key("fp32", PRECISION)
    score_epochs: Count = key(1, "epochs between evaluations on the test clips; the last epoch, the main result, is always evaluated")


class Semi(Settings):
    """Semi-supervised protocol: fine-tuning on a share of the training clips (Table 9)."""

    fractions: tuple[Annotated[float, Field(gt=0, le=1)], ...] = key((0.01, 0.1), "shares of the training clips", min_length=1)
    subsets: Count = key(5, "random subsets of each size; the result is their mean ± standard deviation")
    finetune: dict[str, Any] = key({"score_epochs": 10}, "differences from `finetune`")


class Pair(Settings):
    """An encoder's data set and the one it is evaluated on."""

    source: str = key(..., "data set that the encoder was trained on, by its name under `data`")
    source_split: str | None = key(None, "its split; null: the first")
    target: str = key(..., "data set that it is evaluated on")
    target_split: str | None = key(None, "its split; null: the first")


class Transfer(Settings):
    """Transfer protocol: fine-tuning on another data set than the encoder's (Table 4)."""

    pairs: tuple[Pair, ...] = key((), "pairs of data sets: a list of `source`, `target` and, if not the first, their splits")
    finetune: dict[str, Any] = key({}, "differences from `finetune`")


class Shots(Settings):
    """Few-shot protocol: the nearest labelled clips of the novel classes vote (Table 5)."""

    shots: tuple[Count, ...] = key(
        (1, 2, 5),
        "number of voting neighbours and, in reading `exemplars`, of labelled clips per class; the first is the main result",
        min_length=1,
    )
    readings: tuple[Reading, ...] = key(
        ("exemplars", "neighbours"),
        "meaning of n-shot; the first is the main result. exemplars: n labelled clips of each novel class are drawn, and n neighbours among them "
        "vote; neighbours: n neighbours among all training clips of the novel classes vote, most probably the paper's",
        min_length=1,
    )
    ties: Ties = key("similarity", "as in `knn`, of the reading neighbours; of exemplars it is always similarity")
    draws: Count = key(5, "random draws of exemplars; the result is their mean ± standard deviation")
    outputs: tuple[Compared, ...] = key(
        ("encoder", "projector", "predictor"),
        "as in `knn`; standardised and whitened outputs are fitted on all training clips of the target, without labels",
        min_length=1,
    )


class FewShot(Shots):
    """Where the few-shot protocol is run."""

    pairs: tuple[Pair, ...] = key((), "as in `transfer`; the target's description says which of its actions are `novel`")
