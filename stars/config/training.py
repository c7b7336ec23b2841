"""Settings of the model and of both training stages."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from stars.config.base import (
    KNN_EPOCHS,
    MAX_STEPS,
    PRECISION,
    Count,
    Epochs,
    Fraction,
    Positive,
    Precision,
    Settings,
    key,
)


class BackboneOptions(Settings):
    """Settings of every backbone."""

    stream: Literal["joint", "bone", "motion"] = key(
        "joint",
        "input of the encoder: joints, bones (a joint minus its parent) or motion (the next frame minus this one)",
    )
    frames: Count = key(64, "number of frames that a clip is resampled to")


class Model(BackboneOptions):
    """Transformer encoder and stage-1 decoder (paper §4.2)."""

    frames: Count = key(120, "number of frames that a clip is resampled to, T_s")
    segment: Count = key(4, "segment length l: frames of one joint per token; must divide `frames`")
    width: Count = key(256, "embedding dimension, C_e")
    depth: Count = key(8, "encoder blocks, L_e")
    heads: Count = key(8, "attention heads; must divide `width` and `decoder_width`")
    hidden: Count = key(1024, "hidden dimension of the encoder's feed-forward network")
    decoder_width: Count = key(256, "embedding dimension of the decoder")
    decoder_depth: Count = key(5, "decoder blocks, L_d")
    decoder_hidden: Count = key(1024, "hidden dimension of the decoder's feed-forward network")

    @model_validator(mode="after")
    def _divisible(self) -> Model:
        if self.frames % self.segment:
            raise ValueError(f"frames ({self.frames}) must be a multiple of segment ({self.segment})")
        for name, width in (("width", self.width), ("decoder_width", self.decoder_width)):
            if width % self.heads:
                raise ValueError(f"{name} ({width}) must be a multiple of heads ({self.heads})")
        return self


class Sampling(Settings):
    """How a training clip is cut from a stored one (paper §4.2, Data Preprocessing)."""

    crop: tuple[Fraction, Fraction] = key(
        (0.5, 1.0), "temporal crop: fraction of a clip's frames, drawn uniformly from this range"
    )
    min_frames: Count = key(64, "minimum length of a crop, in frames; shorter clips are kept whole")
    rotation: float = key(
        0.3,
        "random rotation about the origin: one angle per axis, drawn uniformly from ± this, in radians; 0: none",
        ge=0,
    )

    @model_validator(mode="after")
    def _ordered(self) -> Sampling:
        if self.crop[0] > self.crop[1]:
            raise ValueError(f"crop must be [min, max], found {list(self.crop)}: swap the values")
        return self


class Motion(Settings):
    """Prediction target and mask of stage 1 (Eq. 1–4)."""

    target: Literal["paper", "release", "positions"] = key(
        "paper",
        "paper: M_i = S_i − S_(i−stride), first frames padded by replication (Eq. 1); release: S_(t+stride) − "
        "S_t, last frames zero; positions: the joints themselves, as in MAE",
    )
    stride: Count | None = key(
        None, "frames between the two poses of the motion, m; null: the segment length (the released code: 1)"
    )
    score: Literal["paper", "release"] = key(
        "paper",
        "mask probability. paper: Softmax(I/τ1) with I the segment's summed |motion| (Eq. 2); release: I is its "
        "mean |motion|, divided by the body's maximum",
    )
    temperature: float = key(0.8, "τ1 of the mask probability; 0 or less: uniform masking")
    ratio: float = key(0.9, "masking ratio: fraction of tokens to mask", gt=0, lt=1)
    normalise: bool = key(True, "whether each token's target is normalised to mean 0 and variance 1, as in MAE")


class Schedule(Settings):
    """Length of a training, and its learning rate as a pure function of the step."""

    epochs: Epochs = key(400, "epochs")
    warmup_epochs: Epochs = key(20, "epochs of linear warm-up from learning rate 0")
    batch: Count = key(128, "batch size, over all devices")
    max_steps: Count | None = key(None, MAX_STEPS)
    lr: Positive = key(1e-3, "peak learning rate")
    min_lr: float = key(5e-4, "final learning rate of the cosine decay", ge=0)

    @model_validator(mode="after")
    def _falls(self) -> Schedule:
        if self.min_lr > self.lr:
            raise ValueError(f"min_lr ({self.min_lr:g}) must not exceed lr ({self.lr:g}): lower min_lr or raise lr")
        if self.warmup_epochs > self.epochs:
            raise ValueError(
                f"warmup_epochs ({self.warmup_epochs:g}) must not exceed epochs ({self.epochs:g}): lower warmup_epochs"
                " or raise epochs"
            )
        return self


class Optimiser(Schedule):
    """AdamW and its schedule."""

    betas: tuple[Fraction, Fraction] = key((0.9, 0.95), "AdamW's betas: decay rates of its running averages")
    weight_decay: float = key(0.05, "weight decay, for matrices only", ge=0)


class Pretrain(Settings):
    """Stage 1: masked motion prediction (MAMP, paper §3.2)."""

    motion: Motion = key(Motion(), "mask and prediction target")
    sampling: Sampling = key(Sampling(), "training crops")
    optimiser: Optimiser = key(Optimiser(), "AdamW and its schedule")
    bodies: Literal["all", "present"] = key(
        "all", "all: absent (all-zero) bodies are computed like any other; present: they are skipped"
    )
    precision: Precision = key("fp32", PRECISION)
    knn_epochs: int = key(0, KNN_EPOCHS, ge=0)
