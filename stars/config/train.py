"""Settings of a training with any backbone and objective."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import model_validator

from stars.config.base import KNN_EPOCHS, PRECISION, Fraction, Precision, Settings, key
from stars.config.tuning import TuneOptimiser


class TrainOptimiser(TuneOptimiser):
    """SGD, AdamW or Adam, its schedule and gradient clipping."""

    kind: Literal["sgd", "adamw", "adam"] = key(
        "sgd", "optimiser: sgd with `momentum`, adamw with `betas`, or adam with `betas` and coupled (L2) weight decay"
    )
    momentum: Fraction = key(0.9, "momentum of SGD")


class Chosen(Settings):
    """A network that is trained."""

    backbone: str = key(..., "file in stars/backbones or plugins/backbones")
    model: dict[str, Any] = key({}, "overrides of that backbone's settings in `backbones`")


class TrainBase(Settings):
    """Settings of a training with any backbone and objective, except its networks."""

    objective: str = key("skeletonclr", "file in stars/objectives or plugins/objectives")
    options: dict[str, Any] = key({}, "settings of the objective that its file defines")
    views: dict[str, tuple[Any, ...]] = key(
        {},
        "augmentations of each view by name, in order (docs/views.md); other views keep the objective's list",
    )
    shared_crop: bool = key(False, "whether views with the same crop settings share one crop of the clip")
    layer_decay: Fraction = key(1.0, "layer-wise learning-rate decay: factor from each layer to the one below")
    tuned_blocks: int | None = key(
        None, "number of last blocks to train; null: the whole network, embeddings included", ge=0
    )
    optimiser: TrainOptimiser = key(
        TrainOptimiser(
            epochs=300,
            warmup_epochs=0,
            batch=128,
            lr=0.1,
            min_lr=0.0,
            weight_decay=1e-4,
            schedule="cosine",
            step_factor=0.1,
            clip="none",
        ),
        "optimiser, its schedule and gradient clipping",
    )
    bodies: Literal["all", "present"] = key(
        "all",
        "bodies averaged into a clip's feature: all, absent ones included, or only present ones; actclr always "
        "uses all, hi_trs and skeleton_mae only present ones",
    )
    precision: Precision = key("fp32", f"{PRECISION}; heads and loss are fp32")
    knn_epochs: int = key(0, KNN_EPOCHS, ge=0)

    @model_validator(mode="after")
    def _decays_from_somewhere(self) -> TrainBase:
        if self.layer_decay < 1 and self.tuned_blocks == 0:
            raise ValueError("layer_decay has no effect if tuned_blocks is 0: remove one of them")
        return self


class Train(TrainBase):
    """A training with an objective of stars/objectives or plugins/objectives."""

    networks: dict[str, Chosen] = key(
        {},
        "jointly trained networks by name; the first is the result. Empty: those of the objective, or one with the"
        " method's backbone",
    )
