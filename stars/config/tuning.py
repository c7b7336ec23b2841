"""Settings of stage 2: what every strategy reads, and a block for each strategy."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import model_validator

from stars.config.base import Count, Fraction, Positive, Settings, key
from stars.config.training import Optimiser, Sampling


class Augment(Settings):
    """Hand-crafted augmentations (Table 7), each clip drawn by itself. Rotation is `sampling.rotation`."""

    flip: Fraction = key(0.0, "probability of a mirror image: left and right joints, by the data set's `mirror`, change places")
    flip_axis: Literal["x", "y", "z"] | None = key(
        "x", "coordinate whose sign a flip turns; null: none, joints only change places (AimCLR's spatial flip)"
    )
    shear: float = key(0.0, "largest share of one coordinate added to another, drawn evenly from ± this for all six pairs; 0: none", ge=0)
    axis_mask: Fraction = key(0.0, "probability that one coordinate, x, y or z, is set to zero")


class Nnclr(Settings):
    """Nearest-neighbour contrastive loss (paper §3.3)."""

    temperature: Positive = key(0.07, "τ2 of Eq. 6")
    queue: Count = key(8192, "embeddings kept from earlier steps, Q of Eq. 5")
    queue_start: Literal["random", "empty"] = key("random", "queue before the first step: random unit vectors, or no entries")
    exclude_self: bool = key(False, "never take an earlier embedding of the same clip as its nearest neighbour")
    views: Literal[1, 2] = key(
        1, "crops of a clip a step: 1, as in the paper; 2: each crop's neighbour is predicted from the other, symmetrically"
    )
    predictor_hidden: Count = key(4096, "hidden dimension of the predictor")


class Dino(Settings):
    """Self-distillation without labels (Tables 6, 10, 11)."""

    student_temperature: Positive = key(0.1, "temperature of the student's softmax")
    teacher_temperature: Positive = key(0.04, "temperature of the teacher's assignment")
    momentum: Fraction = key(0.996, "share of itself that the teacher keeps in the first step")
    momentum_end: Fraction = key(1.0, "the same in the last step; between them half a cosine")
    koleo_weight: float = key(0.1, "weight of the KoLeo regulariser", ge=0)
    sinkhorn_iterations: Count = key(3, "rounds of Sinkhorn–Knopp centring")
    prototypes: Count = key(65536, "dimension of the head's output")
    hidden: Count = key(2048, "hidden dimension of the head's two hidden layers")
    bottleneck: Count = key(256, "dimension of the unit vectors that are compared with the prototypes")
    local_views: int = key(0, "short crops of a clip a step, seen by the student alone", ge=0)
    local_crop: tuple[Fraction, Fraction] = key((0.4, 0.8), "share of a clip's frames in a local view, drawn uniformly from this range")
    output: Literal["teacher", "student"] = key("teacher", "network whose encoder is the result")

    @model_validator(mode="after")
    def _ordered(self) -> Dino:
        if self.local_crop[0] > self.local_crop[1]:
            raise ValueError(f"local_crop runs from the smaller to the larger share, found {list(self.local_crop)}")
        return self


class Moco(Settings):
    """Momentum contrast (Tables 6, 8)."""

    temperature: Positive = key(0.07, "temperature of the softmax over the positive and the queue")
    queue: Count = key(32768, "keys kept from earlier steps")
    momentum: Fraction = key(0.999, "share of itself that the key encoder keeps in a step")
    width: Count = key(128, "dimension of queries and keys")


class TuneBase(Settings):
    """What every strategy of stage 2 reads."""

    layer_decay: Fraction = key(0.2, "α of Eq. 7: the rate of block i is lr · α^(N−i)")
    tuned_blocks: int | None = key(
        None, "encoder blocks tuned, counted from the last; the rest is frozen; null: the second half; 0: only heads are trained", ge=0
    )
    sampling: Sampling = key(Sampling(rotation=0.0), "training crops; the paper tunes without augmentation, random crop only")
    augment: Augment = key(Augment(), "hand-crafted augmentations; the paper's method has none")
    optimiser: Optimiser = key(Optimiser(epochs=20, warmup_epochs=0, lr=1e-3, min_lr=0.0, weight_decay=0.01), "AdamW and its schedule")
    bodies: Literal["all", "present"] = key(
        "all", "bodies averaged into a clip's feature: all, an absent one included, or the present ones"
    )
    precision: Literal["fp32", "bf16"] = key("fp32", "arithmetic of the encoder's matrix products; heads and loss are fp32")
    knn_epochs: int = key(
        0, "epochs between looks at training clips' nearest neighbours, `knn_top1` in the curve; 0: none. It chooses nothing", ge=0
    )


class Tune(TuneBase):
    """Stage 2: the encoder's upper blocks tuned together with new heads (paper §3.3)."""

    strategy: str = key("nnclr", "loss: nnclr, dino, moco, or the name of a file of your own in stars/training/losses")
    nnclr: Nnclr = key(Nnclr(), "strategy: nnclr")
    dino: Dino = key(Dino(), "strategy: dino")
    moco: Moco = key(Moco(), "strategy: moco")
    options: dict[str, Any] = key({}, "settings of a strategy of your own, as its file defines them")

    @model_validator(mode="after")
    def _of_its_own(self) -> Tune:
        if self.options and self.strategy in BLOCKS:
            raise ValueError(f"options are for a strategy of your own; those of {self.strategy} stand under tune.{self.strategy}")
        return self

    @property
    def block(self) -> str:
        """Key under which the settings of the chosen strategy stand."""
        return self.strategy if self.strategy in BLOCKS else "options"

    def read(self) -> dict[str, Any]:
        """Plain data of what stage 2 reads: no other strategy's block."""
        return self.model_dump(mode="json", exclude={*BLOCKS, "options"} - {self.block})


BLOCKS = ("nnclr", "dino", "moco")
