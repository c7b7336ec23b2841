"""Settings of stage 2: those of every objective, and a block for each of nnclr, dino and moco."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import model_validator

from stars.config.base import KNN_EPOCHS, PRECISION, Count, Epochs, Fraction, Positive, Precision, Settings, key
from stars.config.training import Optimiser, Sampling


class Augment(Settings):
    """Hand-crafted augmentations (Table 7), drawn for each clip independently. Rotation is `sampling.rotation`."""

    flip: Fraction = key(
        0.0,
        "probability of a left–right flip: joints are swapped as in the data set's `mirror`, `flip_axis` is negated",
    )
    flip_axis: Literal["x", "y", "z"] | None = key(
        "x", "coordinate that a flip negates; null: none, joints are only swapped (AimCLR's spatial flip)"
    )
    shear: float = key(
        0.0, "shear amplitude: the six off-diagonal entries are drawn uniformly from ± this; 0: none", ge=0
    )
    axis_mask: Fraction = key(0.0, "probability that one coordinate (x, y or z) is set to zero")


class Heads(Settings):
    """Initialisation of an objective's heads."""

    heads_start: Literal["normal", "pytorch"] = key(
        "normal",
        "initial weights. normal: N(0, 0.02), BatchNorm N(1, 0.02), biases 0 (the released code); pytorch: PyTorch's"
        " defaults",
    )

    @property
    def compared_heads(self) -> tuple[str, ...]:
        """Heads whose outputs KNN may compare; applied in sequence, starting from the clip's feature."""
        return ()


class PredictorHeads(Heads):
    """The projector and predictor of NNCLR and MoCo."""

    predictor_hidden: Count = key(4096, "hidden dimension of the predictor")
    predictor_bias: bool = key(
        False,
        "whether the predictor's first layer has a bias (false: the released code); BatchNorm follows, so it changes"
        " little",
    )
    norm_clips: int | None = key(
        None,
        "clips per BatchNorm statistic; null: the global batch (SyncBatchNorm, the released code); 32: groups of "
        "32, as on four GPUs without SyncBatchNorm at batch size 128",
        ge=2,
    )


class Nnclr(PredictorHeads):
    """Nearest-neighbour contrastive loss (paper §3.3)."""

    temperature: Positive = key(0.07, "τ2 of Eq. 6")
    queue: Count = key(8192, "queue size, Q of Eq. 5: embeddings kept from earlier steps")
    queue_start: Literal["random", "empty"] = key(
        "random", "initial queue. random: random unit vectors; empty: no entries"
    )
    exclude_self: bool = key(
        True, "whether earlier embeddings of a clip are excluded from its neighbours (true: the released code)"
    )
    nearest: Count = key(
        1, "the neighbour is drawn uniformly from this many nearest entries; 1: the nearest (paper and released code)"
    )
    views: Literal[1, 2] = key(
        1,
        "views per clip and step. 1: the paper; 2: each view's neighbour is predicted from the other view (the "
        "released code, whose views are identical without augmentation)",
    )
    symmetric: bool = key(
        True,
        "with two views: whether gradients flow through both predictions; false: only through the first (the "
        "released code), which halves the gradient",
    )

    @property
    def compared_heads(self) -> tuple[str, ...]:
        return "projector", "predictor"

    @model_validator(mode="after")
    def _in_the_queue(self) -> Nnclr:
        if self.nearest > self.queue:
            raise ValueError(
                f"nearest ({self.nearest}) must not exceed queue ({self.queue}): lower nearest or raise queue"
            )
        return self


class Dino(Heads):
    """Self-distillation without labels (Tables 6, 10, 11)."""

    student_temperature: Positive = key(0.1, "temperature of the student's softmax")
    teacher_temperature: Positive = key(0.04, "temperature of the teacher's assignment")
    momentum: Fraction = key(0.996, "initial momentum of the teacher")
    momentum_end: Fraction = key(1.0, "momentum of the teacher at the end of its cosine schedule")
    momentum_length: Positive = key(
        4.0,
        "length of that schedule, in multiples of the training. 1: ends at `momentum_end`; 4: ends one seventh of "
        "the way there (the released code)",
    )
    koleo_weight: float = key(0.1, "weight of the KoLeo regulariser", ge=0)
    koleo_on: Literal["outputs", "features"] = key(
        "outputs",
        "what KoLeo spreads. outputs: the student's head outputs (the released code); features: its pooled features"
        " (DINOv2)",
    )
    koleo_clips: int | None = key(
        None,
        "clips among which KoLeo finds the nearest neighbour; null: all of a view; the released code: 16, with "
        "the term added twice (koleo_weight 0.2)",
        ge=2,
    )
    sinkhorn_iterations: Count = key(3, "iterations of Sinkhorn–Knopp centring")
    head: Literal["linear", "prototypes"] = key(
        "linear",
        "linear: one linear layer (the released code); prototypes: DINO's head, a three-layer MLP and cosine"
        " similarities to prototypes",
    )
    outputs: Count = key(128, "output dimension, for head linear")
    prototypes: Count = key(65536, "output dimension, for head prototypes")
    hidden: Count = key(2048, "dimension of the two hidden layers, for head prototypes")
    bottleneck: Count = key(256, "dimension of the unit vectors compared with the prototypes, for head prototypes")
    normalise: bool = key(
        True, "whether outputs are L2-normalised before the softmax (true: the released code; false: DINO)"
    )
    global_crop: tuple[Fraction, Fraction] | None = key(
        None,
        "temporal crop of a global view, as in `sampling.crop`; null: `tune.sampling.crop`; the released code: [1, 1]",
    )
    local_views: int = key(0, "local views (short crops) per clip and step, seen only by the student", ge=0)
    local_crop: tuple[Fraction, Fraction] = key((0.4, 0.8), "temporal crop of a local view, as in `sampling.crop`")
    output: Literal["student", "teacher"] = key(
        "student", "network whose encoder is the result: student (the released code) or teacher (DINO)"
    )

    @model_validator(mode="after")
    def _ordered(self) -> Dino:
        for name, crop in (("local_crop", self.local_crop), ("global_crop", self.global_crop)):
            if crop and crop[0] > crop[1]:
                raise ValueError(f"{name} must be [min, max], found {list(crop)}: swap the values")
        return self


class Moco(PredictorHeads):
    """Momentum contrast (Tables 6, 8)."""

    temperature: Positive = key(0.07, "temperature of the softmax over the positive and the queue")
    queue: Count = key(32768, "queue size: keys kept from earlier steps")
    momentum: Fraction = key(0.999, "momentum of the key encoder")
    head: Literal["predictor", "projection"] = key(
        "predictor",
        "head that outputs queries and keys. predictor: projector and predictor, as wide as the encoder (the "
        "released code); projection: Linear–ReLU–Linear (MoCo v2)",
    )
    width: Count = key(128, "dimension of queries and keys, for head projection")

    @property
    def compared_heads(self) -> tuple[str, ...]:
        return ("projector", "predictor") if self.head == "predictor" else ()


class TuneOptimiser(Optimiser):
    """AdamW in stage 2, its schedule and its gradient clipping."""

    min_lr: float = key(0.0, "final learning rate, for schedule cosine or linear", ge=0)
    weight_decay: float = key(0.01, "weight decay, for the tensors of `decayed`", ge=0)
    decayed: Literal["all", "matrices"] = key(
        "all",
        "tensors with weight decay. all: every trained one, biases and norms included (the released code); matrices:"
        " matrices only",
    )
    schedule: Literal["constant", "steps", "cosine", "linear"] = key(
        "constant",
        "learning rate after the warm-up. constant: lr (the released code); steps: multiplied by `step_factor` at "
        "each of `steps`; cosine, linear: decay to min_lr",
    )
    steps: tuple[Epochs, ...] = key(
        (),
        "milestones of schedule steps: ascending epochs after which the learning rate is reduced; the released "
        "code counts epochs from 1, so its 5 is 4 here",
    )
    step_factor: Positive = key(0.75, "factor of the learning rate at each milestone")
    clip: Literal["tensor", "whole", "none"] = key(
        "tensor",
        "gradient clipping to norm `clip_norm`. tensor: per parameter tensor (the released code); whole: global norm;"
        " none: no clipping",
    )
    clip_norm: Positive = key(3.0, "maximum L2 norm of a gradient")

    @model_validator(mode="after")
    def _of_the_schedule(self) -> TuneOptimiser:
        if self.min_lr > 0 and self.schedule not in ("cosine", "linear"):
            raise ValueError(
                f"min_lr ({self.min_lr:g}) has no effect with schedule {self.schedule}: set schedule to cosine or"
                " linear, or min_lr to 0"
            )
        steps = ", ".join(f"{step:g}" for step in self.steps)
        if bool(self.steps) != (self.schedule == "steps"):
            raise ValueError(
                f"steps is [{steps}] but schedule is {self.schedule}: set both `steps` and `schedule: steps`, or"
                " neither"
            )
        if list(self.steps) != sorted(set(self.steps)) or (self.steps and self.steps[-1] >= self.epochs):
            raise ValueError(f"steps is [{steps}]: set ascending epochs below epochs ({self.epochs:g})")
        return self


class TuneBase(Settings):
    """Settings of stage 2 with any objective."""

    layer_decay: Fraction = key(
        0.2,
        "α of Eq. 7: block i has learning rate lr · α^(N−i+last_exponent); the released code: 0.45 (NTU-60), 0.40"
        " (NTU-120), 0.35 (PKU-II)",
    )
    last_exponent: Literal[1, 0] = key(
        1,
        "exponent of α at the last block. 1: it has lr · α (the released code); 0: it has lr (Eq. 7 with i = N at the"
        " last block)",
    )
    tuned_blocks: int | None = key(
        None,
        "number of last encoder blocks to tune; the others are frozen; null: the second half; 0: only heads are"
        " trained",
        ge=0,
    )
    sampling: Sampling = key(
        Sampling(rotation=0.0),
        "training crops. The paper: crop [0.5, 1] and no augmentation; the released code: the whole clip, crop [1, 1]",
    )
    shared_crop: bool = key(
        True, "whether views with the same crop settings share one crop of the clip (true: the released code)"
    )
    augment: Augment = key(Augment(), "hand-crafted augmentations; the paper's method has none")
    optimiser: TuneOptimiser = key(
        TuneOptimiser(epochs=20, warmup_epochs=0, lr=1e-3, min_lr=0.0), "AdamW, its schedule and gradient clipping"
    )
    bodies: Literal["all", "present"] = key(
        "all", "bodies averaged into a clip's feature: all, absent ones included, or only present ones"
    )
    precision: Precision = key("fp32", f"{PRECISION}; heads and loss are fp32")
    knn_epochs: int = key(0, KNN_EPOCHS, ge=0)


class Tune(TuneBase):
    """Stage 2: the encoder's upper blocks tuned together with new heads (paper §3.3)."""

    strategy: str = key(
        "nnclr", "objective: nnclr, dino, moco, or another file in stars/objectives or plugins/objectives"
    )
    nnclr: Nnclr = key(Nnclr(), "strategy: nnclr")
    dino: Dino = key(Dino(), "strategy: dino")
    moco: Moco = key(Moco(), "strategy: moco")
    options: dict[str, Any] = key({}, "settings of another objective that its file defines")

    @model_validator(mode="after")
    def _of_its_own(self) -> Tune:
        if self.options and self.strategy in BLOCKS:
            raise ValueError(f"options is not for {self.strategy}: set its settings under tune.{self.strategy}")
        return self

    @property
    def block(self) -> str:
        """Key of the chosen objective's settings."""
        return self.strategy if self.strategy in BLOCKS else "options"

    def read(self) -> dict[str, Any]:
        """The settings that stage 2 reads as plain data, without the blocks of other objectives."""
        return self.model_dump(mode="json", exclude={*BLOCKS, "options"} - {self.block})


BLOCKS = ("nnclr", "dino", "moco")
