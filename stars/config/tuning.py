"""Settings of stage 2: what every strategy reads, and a block for each strategy."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import model_validator

from stars.config.base import PRECISION, Count, Epochs, Fraction, Positive, Precision, Settings, key
from stars.config.training import Optimiser, Sampling


class Augment(Settings):
    """Hand-crafted augmentations (Table 7), each clip drawn by itself. Rotation is `sampling.rotation`."""

    flip: Fraction = key(0.0, "probability of a mirror image: left and right joints, by the data set's `mirror`, change places")
    flip_axis: Literal["x", "y", "z"] | None = key(
        "x", "coordinate whose sign a flip turns; null: none, joints only change places (AimCLR's spatial flip)"
    )
    shear: float = key(0.0, "largest share of one coordinate added to another, drawn evenly from ± this for all six pairs; 0: none", ge=0)
    axis_mask: Fraction = key(0.0, "probability that one coordinate, x, y or z, is set to zero")


class Heads(Settings):
    """How the heads of a strategy start."""

    heads_start: Literal["normal", "pytorch"] = key(
        "normal",
        "initial weights. normal: N(0, .02), BatchNorm N(1, .02), biases 0 (the released code); pytorch: as PyTorch's layers start",
    )

    @property
    def compared_heads(self) -> tuple[str, ...]:
        """Heads whose outputs KNN may compare: the first is given a clip's feature, each other what the one before it made."""
        return ()


class PredictorHeads(Heads):
    """The projector and predictor of NNCLR and MoCo."""

    predictor_hidden: Count = key(4096, "hidden dimension of the predictor")
    predictor_bias: bool = key(
        False, "a bias in the predictor's first layer; false: none, as released (BatchNorm follows, so it changes little)"
    )
    norm_clips: int | None = key(
        None,
        "clips over which BatchNorm takes its statistics; null: the whole batch of all GPUs (synchronised BatchNorm, the released code); 32: each "
        "group of 32 by itself, as four GPUs without synchronisation would at a batch of 128",
        ge=2,
    )


class Nnclr(PredictorHeads):
    """Nearest-neighbour contrastive loss (paper §3.3)."""

    temperature: Positive = key(0.07, "τ2 of Eq. 6")
    queue: Count = key(8192, "embeddings kept from earlier steps, Q of Eq. 5")
    queue_start: Literal["random", "empty"] = key("random", "queue before the first step: random unit vectors, or no entries")
    exclude_self: bool = key(
        True, "exclude earlier embeddings of the same clip from its nearest neighbours: true (the released code) or false"
    )
    nearest: Count = key(
        1, "the neighbour is drawn evenly from this many most similar entries; 1: the most similar one (paper and released code)"
    )
    views: Literal[1, 2] = key(
        1,
        "views of a clip a step: 1, as in the paper; 2: the neighbour of each view is predicted from the other (the released code, whose two views are "
        "identical without augmentation)",
    )
    symmetric: bool = key(
        True,
        "with two views: whether the second one's prediction has a gradient; false: it has none (the released code), so the gradient is half",
    )

    @property
    def compared_heads(self) -> tuple[str, ...]:
        return "projector", "predictor"

    @model_validator(mode="after")
    def _in_the_queue(self) -> Nnclr:
        if self.nearest > self.queue:
            raise ValueError(f"nearest ({self.nearest}) is above queue ({self.queue}): lower it")
        return self


class Dino(Heads):
    """Self-distillation without labels (Tables 6, 10, 11)."""

    student_temperature: Positive = key(0.1, "temperature of the student's softmax")
    teacher_temperature: Positive = key(0.04, "temperature of the teacher's assignment")
    momentum: Fraction = key(0.996, "momentum of the teacher at the first step")
    momentum_end: Fraction = key(1.0, "momentum of the teacher at the end of half a cosine")
    momentum_length: Positive = key(
        4.0,
        "length of that half cosine, in trainings. 4: the momentum only gets a seventh of the way (the released code); 1: it gets to the end",
    )
    koleo_weight: float = key(0.1, "weight of the KoLeo regulariser", ge=0)
    koleo_on: Literal["outputs", "features"] = key(
        "outputs", "what KoLeo spreads. outputs: the student's head outputs (the released code); features: its pooled features (DINOv2)"
    )
    koleo_clips: int | None = key(
        None,
        "clips among which KoLeo looks for the nearest; null: all of a view; the released code: 16, and added twice (koleo_weight .2)",
        ge=2,
    )
    sinkhorn_iterations: Count = key(3, "rounds of Sinkhorn–Knopp centring")
    head: Literal["linear", "prototypes"] = key(
        "linear", "linear: one linear layer (the released code); prototypes: DINO's own, three layers and cosines to prototypes"
    )
    outputs: Count = key(128, "dimension of the outputs, head: linear")
    prototypes: Count = key(65536, "dimension of the outputs, head: prototypes")
    hidden: Count = key(2048, "dimension of the two hidden layers, head: prototypes")
    bottleneck: Count = key(256, "dimension of the unit vectors that are compared with the prototypes, head: prototypes")
    normalise: bool = key(True, "true: outputs are L2-normalised before the softmax (the released code); false: they are not (DINO)")
    global_crop: tuple[Fraction, Fraction] | None = key(
        None,
        "share of a clip's frames in a global view, drawn uniformly from this range; null: `tune.sampling.crop`; the released code: [1, 1]",
    )
    local_views: int = key(0, "short crops of a clip a step, seen by the student alone", ge=0)
    local_crop: tuple[Fraction, Fraction] = key((0.4, 0.8), "share of a clip's frames in a local view, drawn uniformly from this range")
    output: Literal["student", "teacher"] = key(
        "student", "network whose encoder is the result: student (the released code evaluates it) or teacher (DINO)"
    )

    @model_validator(mode="after")
    def _ordered(self) -> Dino:
        for name, crop in (("local_crop", self.local_crop), ("global_crop", self.global_crop)):
            if crop and crop[0] > crop[1]:
                raise ValueError(f"{name} runs from the smaller to the larger share, found {list(crop)}")
        return self


class Moco(PredictorHeads):
    """Momentum contrast (Tables 6, 8)."""

    temperature: Positive = key(0.07, "temperature of the softmax over the positive and the queue")
    queue: Count = key(32768, "keys kept from earlier steps")
    momentum: Fraction = key(0.999, "momentum of the key encoder")
    head: Literal["predictor", "projection"] = key(
        "predictor",
        "queries and keys. predictor: outputs of the predictor behind the projector (the released code), as wide as the encoder; projection: "
        "outputs of Linear – ReLU – Linear (MoCo v2)",
    )
    width: Count = key(128, "dimension of queries and keys, head: projection")

    @property
    def compared_heads(self) -> tuple[str, ...]:
        return ("projector", "predictor") if self.head == "predictor" else ()


class TuneOptimiser(Optimiser):
    """AdamW in stage 2, its schedule and its gradient clipping."""

    min_lr: float = key(0.0, "learning rate at the end, schedule: cosine or linear", ge=0)
    weight_decay: float = key(0.01, "weight decay, on the tensors that `decayed` names", ge=0)
    decayed: Literal["all", "matrices"] = key(
        "all", "tensors with weight decay. all: every tuned one, biases and norms included (the released code); matrices: matrices only"
    )
    schedule: Literal["constant", "steps", "cosine", "linear"] = key(
        "constant",
        "learning rate after the warm-up. constant: lr (the released code); steps: times `step_factor` at each of `steps`; cosine: half a cosine "
        "down to min_lr; linear: a line down to it",
    )
    steps: tuple[Epochs, ...] = key(
        (),
        "epochs after which the learning rate is reduced, ascending, schedule: steps; the released code counts epochs from 1, so its 5 is 4 here",
    )
    step_factor: Positive = key(0.75, "factor of the learning rate at each of `steps`")
    clip: Literal["tensor", "whole", "none"] = key(
        "tensor",
        "gradient clipping to norm `clip_norm`. tensor: each parameter tensor by itself (the released code); whole: all of them together; none",
    )
    clip_norm: Positive = key(3.0, "largest L2 norm of a gradient, unless clip: none")

    @model_validator(mode="after")
    def _of_the_schedule(self) -> TuneOptimiser:
        if self.min_lr > 0 and self.schedule not in ("cosine", "linear"):
            raise ValueError(
                f"min_lr ({self.min_lr:g}) ends a half-cosine, but schedule is {self.schedule}: set schedule to cosine or min_lr to 0"
            )
        steps = ", ".join(f"{step:g}" for step in self.steps)
        if bool(self.steps) != (self.schedule == "steps"):
            raise ValueError(f"steps is [{steps}] and schedule is {self.schedule}: give both, or neither")
        if list(self.steps) != sorted(set(self.steps)) or (self.steps and self.steps[-1] >= self.epochs):
            raise ValueError(f"steps is [{steps}]: give ascending epochs below epochs ({self.epochs:g})")
        return self


class TuneBase(Settings):
    """What every strategy of stage 2 reads."""

    layer_decay: Fraction = key(
        0.2,
        "α of Eq. 7: the learning rate of block i is lr · α^(N−i+last_exponent); the released code: .45 (NTU-60), .40 (NTU-120), .35 (PKU-II)",
    )
    last_exponent: Literal[1, 0] = key(
        1,
        "exponent of α at the last block. 1: the last block has lr · α (the released code); 0: it has lr (Eq. 7 with i = N at the last block)",
    )
    tuned_blocks: int | None = key(
        None, "encoder blocks tuned, counted from the last; the rest is frozen; null: the second half; 0: only heads are trained", ge=0
    )
    sampling: Sampling = key(
        Sampling(rotation=0.0),
        "training crops. The paper: a random crop of [.5, 1] and no augmentation; the released code: the whole clip, crop [1, 1]",
    )
    shared_crop: bool = key(
        True, "true: views with the same crop settings share one crop of the clip (the released code); false: each draws its own"
    )
    augment: Augment = key(Augment(), "hand-crafted augmentations; the paper's method has none")
    optimiser: TuneOptimiser = key(
        TuneOptimiser(epochs=20, warmup_epochs=0, lr=1e-3, min_lr=0.0), "AdamW, its schedule and gradient clipping"
    )
    bodies: Literal["all", "present"] = key(
        "all", "bodies averaged into a clip's feature: all, an absent one included, or the present ones"
    )
    precision: Precision = key("fp32", f"{PRECISION}; heads and loss are fp32")
    knn_epochs: int = key(
        0, "epochs between evaluations of KNN on training clips, `knn_top1` in the curve; 0: none. Only for monitoring", ge=0
    )


class Tune(TuneBase):
    """Stage 2: the encoder's upper blocks tuned together with new heads (paper §3.3)."""

    strategy: str = key("nnclr", "loss: nnclr, dino, moco, or another of stars/objectives or plugins/objectives")
    nnclr: Nnclr = key(Nnclr(), "strategy: nnclr")
    dino: Dino = key(Dino(), "strategy: dino")
    moco: Moco = key(Moco(), "strategy: moco")
    options: dict[str, Any] = key({}, "settings of a strategy of your own, as its file defines them")

    @model_validator(mode="after")
    def _of_its_own(self) -> Tune:
        if self.options and self.strategy in BLOCKS:
            raise ValueError(f"options are for a strategy of your own; those of {self.strategy} are under tune.{self.strategy}")
        return self

    @property
    def block(self) -> str:
        """Key under which the settings of the chosen strategy stand."""
        return self.strategy if self.strategy in BLOCKS else "options"

    def read(self) -> dict[str, Any]:
        """Plain data of what stage 2 reads: no other strategy's block."""
        return self.model_dump(mode="json", exclude={*BLOCKS, "options"} - {self.block})


BLOCKS = ("nnclr", "dino", "moco")
