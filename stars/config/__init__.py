"""Every setting of the pipeline, once: type, unit, default and meaning.

`config/*.yaml` only override what stands here; the JSON schema for editors and the reference page in docs are generated
from it. The defaults are the paper's (docs/fidelity.md lists the contested points). How the blocks of one file combine into
the settings of one stage is in `stars.pipeline.configuration`; a data set's own facts (joints, classes, splits) are in `stars.data.dataset`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, PrivateAttr

from stars.config.base import Count, Positive, Settings, key
from stars.config.data import Data, Denoise, Ingest, Simulate
from stars.config.evaluation import Embed, FewShot, Finetune, Joints, Knn, Linear, Pair, Semi, Shots, Transfer
from stars.config.inspect import Inspect
from stars.config.paper import Claims, Comparison, Fig1, Fig3, Fig4, Fig6, Hyperparameters, ResultTable, TableNumber
from stars.config.plugins import PluginProtocol, PluginTable
from stars.config.report import Report
from stars.config.train import Chosen, Train, TrainOptimiser
from stars.config.training import BackboneOptions, Model, Motion, Optimiser, Pretrain, Sampling, Schedule
from stars.config.tuning import Augment, Dino, Heads, Moco, Nnclr, PredictorHeads, Tune, TuneBase, TuneOptimiser

__all__ = [
    "Augment",
    "BackboneOptions",
    "Checkpoint",
    "Chosen",
    "Claims",
    "Comparison",
    "Compute",
    "Config",
    "Data",
    "Denoise",
    "Dino",
    "Embed",
    "FewShot",
    "Fig1",
    "Fig3",
    "Fig4",
    "Fig6",
    "Finetune",
    "Heads",
    "Hyperparameters",
    "Ingest",
    "Inspect",
    "Joints",
    "Knn",
    "Linear",
    "Moco",
    "Model",
    "Motion",
    "Nnclr",
    "Optimiser",
    "Pair",
    "PluginProtocol",
    "PluginTable",
    "PredictorHeads",
    "Pretrain",
    "Recipe",
    "Report",
    "ResultTable",
    "Sampling",
    "Schedule",
    "Semi",
    "Settings",
    "Shots",
    "Simulate",
    "Train",
    "TrainOptimiser",
    "Transfer",
    "Tune",
    "TuneBase",
    "TuneOptimiser",
    "key",
]


class Recipe(Settings):
    """A method: what is trained, as differences from the method it starts `from`."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, populate_by_name=True)
    start: str | None = Field(
        None,
        alias="from",
        description="parent method. If it is untuned and this one has `tune`, its encoder is the start; if it is tuned, its settings are inherited",
    )
    title: str | None = key(None, "name in tables and figures; null: the method's key")
    heads: str | None = key(None, "tuned method to take the initial heads from (STARS-3stage); null: as its parent, by default new heads")
    backbone: str | None = key(
        None,
        "network: a file in stars/backbones or plugins/backbones; null: as its parent, by default transformer. `pretrain` needs transformer",
    )
    starts: str | None = key(
        None,
        "method whose networks initialise this one's `train`; null: new networks. (`tune` starts from the first untuned method of `from`)",
    )
    model: dict[str, Any] | None = key(None, "differences in the backbone's settings: in `model` for a transformer, else in `backbones`")
    train: dict[str, Any] | None = key(
        None, "differences in `train`; present, even if empty: the method is trained by the objective named there"
    )
    network: str | None = key(None, "name of one of the networks that its parent trained together; the method is that network")
    ensemble: dict[str, float] | None = key(
        None, "methods by name and their weights: the features and scores of this ensemble are their weighted sums"
    )
    pretrain: dict[str, Any] | None = key(None, "differences in `pretrain`; present, even if empty: the method has stage 1")
    tune: dict[str, Any] | None = key(None, "differences in `tune`; present, even if empty: the method has stage 2")
    joints: dict[str, Any] | None = key(
        None, "differences in `joints`; present, even if empty: its features are joint positions, for the protocols knn and few_shot"
    )
    gpus: Count | None = key(
        None, "GPUs that share each batch of its training; null: as its parent, by default `compute.gpus`. Triggers no rebuild"
    )
    published: dict[str, dict[str, Any]] | None = key(
        None, "differences in `embed`, `linear`, `finetune` as its authors evaluate it; used with `protocol: published`"
    )
    protocols: tuple[Literal["linear", "knn", "finetune", "semi", "transfer", "few_shot"], ...] | None = key(
        None, "protocols that evaluate it; null: all"
    )
    tables: tuple[TableNumber, ...] | None = key(None, "tables that have a row for it; null: all of them, and figures that compare methods")


class Checkpoint(Settings):
    """How often work in progress is saved. Changes nothing in any result, so nothing is rebuilt."""

    seconds: Positive = key(60.0, "longest time between two checkpoints, the most that a kill or power loss can cost")
    epochs: int = key(0, "also save after this many epochs; 0: by time only", ge=0)
    folder: str = key("results/.work", "folder for work in progress, by digest of what it depends on")


class Compute(Settings):
    """Where the arithmetic runs. Not part of any digest; the machine is in every record."""

    device: Literal["auto", "cpu", "cuda"] = key("auto", "device to compute on; auto: a GPU if there is one")
    threads: Count = key(
        1, "CPU threads of a training job on each of its nodes, shared by its processes there; as many jobs run side by side as cores allow"
    )
    compile: bool = key(
        False, "compile the transformer blocks with torch.compile in training; if it is not supported, a line in the log says so"
    )
    gpus: Count = key(
        1,
        "GPUs that share each batch of a training, one process per GPU; with `device: cpu`, processes on the CPU. `batch` stays the total",
    )
    nodes: Count = key(
        1,
        "nodes of a Slurm cluster that the GPUs of a training are spread over, the same number on each: with `gpus: 8`, `nodes: 2`, four a node; "
        "`threads` are those on each node. A method with `gpus: 1` of its own stays on one",
    )


class Config(Settings):
    """One configuration file."""

    preset: str = key(
        "paper",
        "defaults of the keys: a file in config/presets. paper: as the paper states, otherwise as the released code; release: the released "
        "code in every contested point; legacy: as this project did before the release of stage 2 was known; small: the paper's, with sizes, masks, "
        "steps and more for a few hundred clips. Join several with +, where a later one overrides an earlier one: release+small",
    )
    seeds: tuple[Annotated[int, Field(ge=0)], ...] = key(
        (0,), "seeds of training; several give mean ± standard deviation in the tables", min_length=1
    )
    code_changes: Literal["rebuild", "warn"] | None = key(
        None,
        "when a stage's own source changed: rebuild its results, or only warn; null: warn for training and all that comes before it, rebuild the rest",
    )
    targets: tuple[str, ...] = key(
        ("quickstart",),
        "what `snakemake` makes without a target: quickstart, all, table1 … table11, fig1, fig3a, fig3b, fig4, fig6, curves, claims, comparison, quality, "
        "report, a table of your own; or every result of a protocol: linear, knn, finetune, semi, transfer, few_shot, or one of your own",
        min_length=1,
    )
    data: dict[str, Data] = key({}, "data sets by name; the name is the folder under results/")
    recipes: str | None = key(
        None,
        "methods to add to those under `methods`, which override them: name of a file in config/recipes, or a path ending in .yaml; join several "
        "with +, as in paper+methods; null: none",
    )
    methods: dict[str, Recipe] = key(
        {"scratch": {"protocols": ["linear", "knn", "finetune"]}, "mamp": {"pretrain": {}}, "stars": {"from": "mamp", "tune": {}}},
        "methods by name; each may start `from` another and give only the differences",
        validate_default=True,
    )
    model: Model = key(Model(), "transformer encoder and decoder")
    pretrain: Pretrain = key(Pretrain(), "stage 1")
    tune: Tune = key(Tune(), "stage 2")
    backbones: dict[str, dict[str, Any]] = key(
        {}, "settings of backbones other than the transformer, by name, where they differ from their defaults"
    )
    train: Train = key(Train(), "training with any backbone and objective")
    protocol: Literal["common", "published"] = key(
        "common",
        "how methods are evaluated. common: all with `embed`, `linear` and `finetune`; published: each as its authors do, with its `published`",
    )
    embed: Embed = key(Embed(), "features")
    joints: Joints = key(Joints(), "joint positions as features: a baseline without training")
    knn: Knn = key(Knn(), "KNN protocol")
    linear: Linear = key(Linear(), "linear protocol")
    finetune: Finetune = key(Finetune(), "fine-tuning protocol")
    semi: Semi = key(Semi(), "semi-supervised protocol")
    transfer: Transfer = key(Transfer(), "transfer protocol")
    few_shot: FewShot = key(FewShot(), "few-shot protocol")
    table1: ResultTable = key(ResultTable(), "linear protocol")
    table2: ResultTable = key(ResultTable(), "KNN protocol, k = 1")
    table3: ResultTable = key(ResultTable(), "fine-tuning")
    table4: ResultTable = key(ResultTable(), "transfer learning; `runs` are the splits of pre-training")
    table5: ResultTable = key(ResultTable(), "few-shot protocol; `runs` are the splits of pre-training")
    table6: ResultTable = key(ResultTable(), "tuning strategies, KNN protocol, k = 10")
    table7: ResultTable = key(ResultTable(), "augmentations of stage 2, KNN protocol, k = 10")
    table8: Hyperparameters = key(Hyperparameters(method="moco_aug"), "settings of MoCo tuning")
    table9: ResultTable = key(ResultTable(), "semi-supervised protocol")
    table10: Hyperparameters = key(Hyperparameters(method="dino_aug"), "settings of DINO tuning")
    table11: ResultTable = key(ResultTable(), "local views in DINO tuning, KNN protocol, k = 10, 20, 40")
    fig1: Fig1 = key(Fig1(), "accuracy against training time")
    fig3: Fig3 = key(Fig3(), "layer-wise decay (3a) and queue size (3b)")
    fig4: Fig4 = key(Fig4(), "t-SNE")
    fig6: Fig6 = key(Fig6(), "confusion matrix")
    comparison: Comparison = key(Comparison(), "page of all protocols; `methods` null: as in Table 1")
    claims: Claims = key(Claims(), "the paper's claims, tested")
    curves: Comparison = key(Comparison(), "training curves; `methods` null: as in Table 1")
    protocols: dict[str, PluginProtocol] = key({}, "protocols of your own by name: files of plugins/protocols")
    tables: dict[str, PluginTable] = key({}, "tables of your own by name: files of plugins/tables")
    inspect: Inspect = key(Inspect(), "quality page")
    report: Report = key(Report(), "report page")
    checkpoint: Checkpoint = key(Checkpoint(), "work in progress")
    compute: Compute = key(Compute(), "where jobs compute")
    tracking: Literal["tensorboard"] | None = key(
        None,
        "where training curves go while a run is under way, beside `curve.csv`. tensorboard: event files under results/logs/tensorboard, for which the "
        "package tensorboard is needed (extra `tracking`); null: nowhere",
    )
    _resolved: dict[Any, Any] = PrivateAttr(default_factory=dict)  # what stars.pipeline.configuration worked out of it, once
