"""Settings of the model and of both training stages."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from stars.config.base import MAX_STEPS, PRECISION, Count, Epochs, Fraction, Positive, Precision, Settings, key


class BackboneOptions(Settings):
    """What the settings of every backbone have."""

    stream: Literal["joint", "bone", "motion"] = key(
        "joint", "what the encoder sees: joints, bones (a joint minus its parent) or motion (the next frame minus this one)"
    )
    frames: Count = key(64, "frames a clip is resized to")


class Model(BackboneOptions):
    """Transformer encoder and stage-1 decoder (paper §4.2)."""

    frames: Count = key(120, "frames a clip is resized to, T_s")
    segment: Count = key(4, "frames of one joint that form a token, l; must divide frames")
    width: Count = key(256, "embedding dimension, C_e")
    depth: Count = key(8, "encoder blocks, L_e")
    heads: Count = key(8, "attention heads; must divide both widths")
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

    crop: tuple[Fraction, Fraction] = key((0.5, 1.0), "share of a clip's frames to keep, drawn uniformly from this range")
    min_frames: Count = key(64, "shortest crop in frames (a shorter clip is kept whole)")
    rotation: float = key(0.3, "random rotation about the origin, drawn for each axis from ± this angle in radians; 0: none", ge=0)

    @model_validator(mode="after")
    def _ordered(self) -> Sampling:
        if self.crop[0] > self.crop[1]:
            raise ValueError(f"crop runs from the smaller to the larger share, found {list(self.crop)}")
        return self


class Motion(Settings):
    """Prediction target and mask of stage 1 (Eq. 1–4)."""

    target: Literal["paper", "release", "positions"] = key(
        "paper",
        "paper: M_i = S_i − S_(i−stride), the first frames padded by replication (Eq. 1); release: S_(t+stride) − S_t, the last frames zero; "
        "positions: the joints themselves, as MAE would",
    )
    stride: Count | None = key(
        None, "frames between the two poses whose difference is the motion, m; null: the segment length (release uses 1)"
    )
    score: Literal["paper", "release"] = key(
        "paper",
        "mask probability. paper: Softmax(I/τ1) with I the segment's summed |motion| (Eq. 2); release: I its mean, divided by the row's largest",
    )
    temperature: float = key(0.8, "τ1 of the mask probability; 0 or less: uniform masking")
    ratio: float = key(0.9, "masking ratio: share of tokens to mask", gt=0, lt=1)
    normalise: bool = key(True, "standardise each token's target over its own values")


class Schedule(Settings):
    """How long a training goes on, and its learning rate as a pure function of the step."""

    epochs: Epochs = key(400, "epochs")
    warmup_epochs: Epochs = key(20, "warm-up epochs, in which the learning rate grows linearly from 0")
    batch: Count = key(128, "clips per step (batch size), over all devices")
    max_steps: Count | None = key(None, MAX_STEPS)
    lr: Positive = key(1e-3, "peak learning rate")
    min_lr: float = key(5e-4, "learning rate at the end of the half-cosine", ge=0)

    @model_validator(mode="after")
    def _falls(self) -> Schedule:
        if self.min_lr > self.lr:
            raise ValueError(f"min_lr ({self.min_lr:g}) is above lr ({self.lr:g}): the learning rate would rise; give both")
        if self.warmup_epochs > self.epochs:
            raise ValueError(f"warmup_epochs ({self.warmup_epochs:g}) is above epochs ({self.epochs:g}): give both")
        return self


class Optimiser(Schedule):
    """AdamW and its schedule."""

    betas: tuple[Fraction, Fraction] = key((0.9, 0.95), "AdamW's decay rates")
    weight_decay: float = key(0.05, "weight decay, on matrices only", ge=0)


class Pretrain(Settings):
    """Stage 1: masked motion prediction (MAMP, paper §3.2)."""

    motion: Motion = key(Motion(), "what is masked and what is predicted")
    sampling: Sampling = key(Sampling(), "training crops")
    optimiser: Optimiser = key(Optimiser(), "AdamW and its schedule")
    bodies: Literal["all", "present"] = key("all", "all: an absent (all-zero) body is a row like any other; present: it is skipped")
    precision: Precision = key("fp32", PRECISION)
    knn_epochs: int = key(
        0, "epochs between evaluations of KNN on training clips, `knn_top1` in the curve; 0: none. Only for monitoring", ge=0
    )
