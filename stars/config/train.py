"""Settings of a training with any backbone and objective."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import model_validator

from stars.config.base import PRECISION, Fraction, Precision, Settings, key
from stars.config.tuning import TuneOptimiser


class TrainOptimiser(TuneOptimiser):
    """SGD, AdamW or Adam, its schedule and gradient clipping."""

    kind: Literal["sgd", "adamw", "adam"] = key(
        "sgd", "optimiser: sgd, with `momentum`; adamw, with `betas`; adam, the same with weight decay as a part of the gradient (L2)"
    )
    momentum: Fraction = key(0.9, "momentum of SGD")


class Chosen(Settings):
    """A network that is trained."""

    backbone: str = key(..., "a file of stars/backbones or plugins/backbones")
    model: dict[str, Any] = key({}, "differences from that backbone's settings in `backbones`")


class TrainBase(Settings):
    """What a training with any backbone and objective reads, besides its networks."""

    objective: str = key("skeletonclr", "a file of stars/objectives or plugins/objectives")
    options: dict[str, Any] = key({}, "settings of the objective, as its file defines them")
    views: dict[str, tuple[Any, ...]] = key(
        {},
        "by name, the augmentations of a view, in order (docs/views.md); a view that is not named here keeps the objective's list",
    )
    shared_crop: bool = key(False, "true: views with the same crop settings share one crop of the clip; false: each draws its own")
    layer_decay: Fraction = key(1.0, "factor of the learning rate from each layer of a network to the one below it, as in `tune`")
    tuned_blocks: int | None = key(
        None, "blocks of a network that are trained, counted from the last; null: all, with what is before them", ge=0
    )
    optimiser: TrainOptimiser = key(
        TrainOptimiser(
            epochs=300, warmup_epochs=0, batch=128, lr=0.1, min_lr=0.0, weight_decay=1e-4, schedule="cosine", step_factor=0.1, clip="none"
        ),
        "optimiser, its schedule and gradient clipping",
    )
    bodies: Literal["all", "present"] = key(
        "all",
        "bodies averaged into a clip's feature: all, an absent one included, or the present ones; "
        "actclr always takes all, hi_trs and skeleton_mae the present ones",
    )
    precision: Precision = key("fp32", f"{PRECISION}; heads and loss are fp32")
    knn_epochs: int = key(
        0, "epochs between evaluations of KNN on training clips, `knn_top1` in the curve; 0: none. Only for monitoring", ge=0
    )

    @model_validator(mode="after")
    def _decays_from_somewhere(self) -> TrainBase:
        if self.layer_decay < 1 and self.tuned_blocks == 0:
            raise ValueError("layer_decay has no effect if tuned_blocks is 0: leave one of them out")
        return self


class Train(TrainBase):
    """A training with an objective of stars/objectives or plugins/objectives."""

    networks: dict[str, Chosen] = key(
        {},
        "networks that are trained together, by name, the first one the result; empty: those of the objective, or one of the method's backbone",
    )
