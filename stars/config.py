"""Every setting of the pipeline, once: type, unit, default and meaning.

`config/*.yaml` only override what stands here; the JSON schema for editors and the reference page in docs are generated
from it. The defaults are the paper's (docs/fidelity.md lists the contested points). How the blocks of one file combine into
the settings of one stage is in `stars.recipes`; a data set's own facts (joints, classes, splits) are in `stars.data.dataset`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]
Epochs = Annotated[float, Field(ge=0)]


class Settings(BaseModel):
    """Base of every block: unknown keys are refused, and it cannot be changed once made."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def key(default: Any, text: str, **limits: Any) -> Any:
    """One setting: its default, and what it means with its unit."""
    return Field(default, description=text, **limits)


class Denoise(Settings):
    """Two-body denoising of NTU clips with more than one body id (the order of the steps is fixed)."""

    min_frames: Count = key(12, "frames a body id must be seen in; ids seen in fewer are ghosts and dropped")
    max_spread: Positive = key(0.8, "a body's frame is plausible while its x extent is at most this many times its y extent")
    max_noisy_share: Fraction = key(0.69754, "a body id is dropped when at least this share of its frames is implausible")


class Ingest(Settings):
    """Raw files to clips."""

    bodies: Count | None = key(None, "bodies a clip holds; null: as many as the data set's description says")
    max_frames: Count = key(300, "frames kept of a clip, from its start")
    denoise: Denoise = key(Denoise(), "two-body denoising (NTU layout only)")
    centre: Literal["first_frame_root", "none"] | None = key(
        None,
        "origin of a clip: the root joint of the first frame in which body 1 is present, or the camera's own; null: as the data set's description says",
    )
    single_body: Literal["zeros", "copy"] | None = key(
        None, "second body of a one-body clip: zeros, or a copy of the first; null: as the data set's description says"
    )
    missing_list: str | None = key(
        None, "the authors' list of samples with missing skeletons (text file, a name a line); those clips are left out"
    )
    on_bad_file: Literal["error", "skip"] = key(
        "error", "error: stop and list all unreadable files; skip: leave them out and record each in quality.json"
    )


class Simulate(Settings):
    """Synthetic raw files in NTU's own layout (the demo's data)."""

    actions: int = key(20, "action classes, at most the number the simulator knows; the last quarter are two-person", ge=4, le=20)
    subjects: int = key(10, "performers, each with own bone lengths, tempo and style", ge=2, le=106)
    cameras: int = key(3, "camera angles filmed at once", ge=1, le=3)
    setups: int = key(3, "camera heights and distances", ge=1, le=32)
    repetitions: int = key(2, "times a subject performs each action in a setup", ge=1, le=99)
    clips: Count | None = key(None, "clips written, an even sample of all combinations; null: every combination")
    frames: tuple[int, int] = key((50, 110), "shortest and longest clip, frames at 30 a second")
    noise: float = key(
        0.0015, "sensor noise of a joint of the trunk, standard deviation in metres: a slow drift, and a tenth of it jitter", ge=0
    )
    occlusion: Fraction = key(0.25, "share of clips in which a limb is occluded and jitters")
    ghosts: Fraction = key(0.1, "share of clips with a ghost body")
    dropped: Fraction = key(0.1, "share of clips with frames in which no body is seen")
    switches: Fraction = key(0.1, "share of clips in which the tracker changes a body's id")
    seed: int = key(0, "seed of everything random in the simulation", ge=0)


class Model(Settings):
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

    crop: tuple[Fraction, Fraction] = key((0.5, 1.0), "share of a clip's frames kept, drawn uniformly from this range")
    min_frames: Count = key(64, "shortest crop in frames (a shorter clip is kept whole)")
    rotation: float = key(0.3, "random rotation about the origin, drawn for each axis from ± this angle in radians; 0: none", ge=0)

    @model_validator(mode="after")
    def _ordered(self) -> Sampling:
        if self.crop[0] > self.crop[1]:
            raise ValueError(f"crop runs from the smaller to the larger share, found {list(self.crop)}")
        return self


class Motion(Settings):
    """Prediction target and mask of stage 1 (Eq. 1–4)."""

    target: Literal["paper", "release"] = key(
        "paper",
        "paper: M_i = S_i − S_(i−stride), the first frames padded by replication (Eq. 1); release: S_(t+stride) − S_t, the last frames zero",
    )
    stride: Count | None = key(
        None, "frames between the two poses whose difference is the motion, m; null: the segment length (release uses 1)"
    )
    score: Literal["paper", "release"] = key(
        "paper",
        "mask probability. paper: Softmax(I/τ1) with I the segment's summed |motion| (Eq. 2); release: I its mean, divided by the row's largest",
    )
    temperature: float = key(0.8, "τ1 of the mask probability; 0 or less masks uniformly")
    ratio: float = key(0.9, "share of tokens hidden", gt=0, lt=1)
    normalise: bool = key(True, "standardise each token's target over its own values")


class Optimiser(Settings):
    """AdamW and its schedule; the rate is a pure function of the step."""

    epochs: Epochs = key(400, "passes over the training clips")
    warmup_epochs: Epochs = key(20, "passes in which the rate grows linearly from 0")
    batch: Count = key(128, "clips a step, over all devices together")
    lr: Positive = key(1e-3, "peak learning rate")
    min_lr: float = key(5e-4, "learning rate at the end of the half-cosine", ge=0)
    betas: tuple[Fraction, Fraction] = key((0.9, 0.95), "AdamW's decay rates")
    weight_decay: float = key(0.05, "weight decay, on matrices only", ge=0)

    @model_validator(mode="after")
    def _falls(self) -> Optimiser:
        if self.min_lr > self.lr:
            raise ValueError(f"min_lr ({self.min_lr:g}) is above lr ({self.lr:g}): the rate would rise; give both")
        if self.warmup_epochs > self.epochs:
            raise ValueError(f"warmup_epochs ({self.warmup_epochs:g}) is above epochs ({self.epochs:g}): give both")
        return self


class Pretrain(Settings):
    """Stage 1: masked motion prediction (MAMP, paper §3.2)."""

    motion: Motion = key(Motion(), "what is hidden and what is predicted")
    sampling: Sampling = key(Sampling(), "training crops")
    optimiser: Optimiser = key(Optimiser(), "AdamW and its schedule")
    bodies: Literal["all", "present"] = key("all", "all: an absent (all-zero) body is a row like any other; present: it is skipped")
    precision: Literal["fp32", "bf16"] = key("fp32", "arithmetic of the matrix products")


class Tune(Settings):
    """Stage 2: nearest-neighbour contrastive tuning (NNCLR, paper §3.3)."""

    temperature: Positive = key(0.07, "τ2 of Eq. 6")
    queue: Count = key(8192, "embeddings kept from earlier steps, Q of Eq. 5")
    queue_start: Literal["random", "empty"] = key("random", "queue before the first step: random unit vectors, or no entries")
    exclude_self: bool = key(False, "never take an earlier embedding of the same clip as its nearest neighbour")
    views: Literal[1, 2] = key(
        1, "crops of a clip a step: 1, as in the paper; 2: each crop's neighbour is predicted from the other, symmetrically"
    )
    predictor_hidden: Count = key(4096, "hidden dimension of the predictor")
    layer_decay: Fraction = key(0.2, "α of Eq. 7: the rate of block i is lr · α^(N−i)")
    tuned_blocks: Count | None = key(None, "encoder blocks tuned, counted from the last; the rest is frozen; null: the second half")
    sampling: Sampling = key(Sampling(rotation=0.0), "training crops; the paper tunes without augmentation, random crop only")
    optimiser: Optimiser = key(Optimiser(epochs=20, warmup_epochs=0, lr=1e-3, min_lr=0.0, weight_decay=0.01), "AdamW and its schedule")
    bodies: Literal["all", "present"] = key(
        "all", "bodies averaged into a clip's feature: all, an absent one included, or the present ones"
    )
    precision: Literal["fp32", "bf16"] = key("fp32", "arithmetic of the matrix products")


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


class Recipe(Settings):
    """A method: what is trained, as differences from the method it starts `from`."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, populate_by_name=True)
    start: str | None = Field(
        None,
        alias="from",
        description="parent method. If it is untuned and this one has `tune`, its encoder is the start; if it is tuned, its settings are inherited",
    )
    title: str | None = key(None, "name in tables and figures; null: the method's key")
    model: dict | None = key(None, "differences in `model`")
    pretrain: dict | None = key(None, "differences in `pretrain`; present, even if empty: the method has stage 1")
    tune: dict | None = key(None, "differences in `tune`; present, even if empty: the method has stage 2")


class Data(Settings):
    """A data set that this configuration uses."""

    dataset: str = key(..., "description of the data set: a YAML file in config/datasets, without its folder and ending")
    raw: str | None = key(None, "raw files: a folder or a zip; relative to the working directory. null: they are simulated")
    simulate: Simulate | None = key(None, "how the raw files are simulated, when there are none")
    ingest: Ingest = key(Ingest(), "raw files to clips")
    splits: tuple[str, ...] = key(("xsub",), "evaluation splits used, by the names in the data set's description", min_length=1)
    settings: dict = key({}, "differences of `model`, `pretrain`, `tune`, `embed`, `knn`, `linear` that hold for this data set alone")

    @model_validator(mode="after")
    def _one_source(self) -> Data:
        if (self.raw is None) == (self.simulate is None):
            raise ValueError("give either raw (a folder or zip with the raw files) or simulate")
        return self


class Table(Settings):
    """A table of results beside the published ones."""

    methods: tuple[str, ...] | None = key(None, "methods whose rows are added; null: all of `methods`")


class Fig4(Settings):
    """Figure 4: t-SNE of test features, one panel a method."""

    data: str | None = key(None, "data set drawn; null: the first")
    split: str | None = key(None, "split drawn; null: the data set's first")
    methods: tuple[str, ...] | None = key(None, "methods drawn side by side; null: all of `methods`")
    classes: Count = key(15, "action classes drawn, spread evenly over the data set's")
    perplexity: Positive = key(30.0, "t-SNE's perplexity; lowered when there are too few clips")


class Fig6(Settings):
    """Figure 6: confusion matrix of the KNN protocol."""

    data: str | None = key(None, "data set drawn; null: the first")
    split: str | None = key(None, "split drawn; null: the data set's first")
    method: str | None = key(None, "method whose predictions are counted; null: the last of `methods`")
    k: Count = key(10, "neighbours; must be one of knn.k")
    pairs: Count = key(20, "most confused pairs listed")


class Checkpoint(Settings):
    """How often work in progress is saved. Changes nothing in any result, so nothing is rebuilt."""

    seconds: Positive = key(60.0, "longest time between two checkpoints; what a kill or power loss can cost")
    folder: str = key("results/.work", "where work in progress is kept, by digest of what it depends on")


class Compute(Settings):
    """Where the arithmetic runs. Not part of any digest; the machine is in every record."""

    device: Literal["auto", "cpu", "cuda"] = key("auto", "auto: a GPU where there is one")
    threads: Count = key(2, "CPU threads of a training job, and jobs' share on a local machine")


class Config(Settings):
    """One configuration file."""

    preset: Literal["paper", "release"] = key(
        "paper", "what contested points default to: the paper's statement, or the released code's behaviour"
    )
    seeds: tuple[Annotated[int, Field(ge=0)], ...] = key(
        (0,), "seeds of training; several give mean ± standard deviation in the tables", min_length=1
    )
    code_changes: Literal["rebuild", "warn"] | None = key(
        None,
        "when a stage's own source changed: rebuild its results, or only warn; null: warn for training and all that comes before it, rebuild the rest",
    )
    targets: tuple[str, ...] = key(
        ("quickstart",), "what a plain `snakemake` makes: quickstart, table1, table2, fig4, fig6, curves", min_length=1
    )
    data: dict[str, Data] = key({}, "data sets by name; the name is the folder under results/")
    methods: dict[str, Recipe] = key(
        {"scratch": {}, "mamp": {"pretrain": {}}, "stars": {"from": "mamp", "tune": {}}},
        "recipes by name; each may start `from` another and say only what differs",
        validate_default=True,
    )
    model: Model = key(Model(), "transformer encoder and decoder")
    pretrain: Pretrain = key(Pretrain(), "stage 1")
    tune: Tune = key(Tune(), "stage 2")
    embed: Embed = key(Embed(), "features")
    knn: Knn = key(Knn(), "KNN protocol")
    linear: Linear = key(Linear(), "linear protocol")
    table1: Table = key(Table(), "linear protocol (Table 1)")
    table2: Table = key(Table(), "KNN protocol (Table 2)")
    fig4: Fig4 = key(Fig4(), "t-SNE")
    fig6: Fig6 = key(Fig6(), "confusion matrix")
    checkpoint: Checkpoint = key(Checkpoint(), "work in progress")
    compute: Compute = key(Compute(), "where the arithmetic runs")
