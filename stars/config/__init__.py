"""All settings of the pipeline: type, default, unit and description.

`config/*.yaml` only override these defaults, which are the paper's (docs/fidelity.md lists the contested points). The
JSON schema and docs/configuration.md are generated from this package. `stars.pipeline.configuration` combines the
blocks of a file into the settings of a stage; `stars.data.dataset` describes data sets (joints, classes, splits).
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
    """A method: its differences from the method it starts `from`."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, populate_by_name=True)
    start: str | None = Field(
        None,
        alias="from",
        description=(
            "parent method, whose settings are inherited. A tuned method starts from the encoder of its untuned"
            " ancestor"
        ),
    )
    title: str | None = key(None, "name in tables and figures; null: the method's key in upper case")
    heads: str | None = key(
        None, "tuned method that provides the initial heads (STARS-3stage); null: inherited, by default new heads"
    )
    backbone: str | None = key(
        None,
        "file in stars/backbones or plugins/backbones; null: inherited, by default transformer, which `pretrain` needs",
    )
    starts: str | None = key(
        None,
        "method whose networks initialise `train`; null: inherited, by default new networks. For `tune`, see `from`",
    )
    model: dict[str, Any] | None = key(
        None, "overrides of the backbone's settings: `model` for a transformer, else `backbones`"
    )
    train: dict[str, Any] | None = key(
        None, "overrides of `train`. If present, even if empty, the method is trained with that objective"
    )
    network: str | None = key(None, "which of its parent's jointly trained networks this method is")
    ensemble: dict[str, float] | None = key(
        None, "fusion: weight of each member method; features and scores are the weighted sums"
    )
    pretrain: dict[str, Any] | None = key(
        None, "overrides of `pretrain`. If present, even if empty, the method has stage 1"
    )
    tune: dict[str, Any] | None = key(None, "overrides of `tune`. If present, even if empty, the method has stage 2")
    joints: dict[str, Any] | None = key(
        None,
        "overrides of `joints`. If present, even if empty, features are joint positions, for the protocols knn and"
        " few_shot",
    )
    gpus: Count | None = key(
        None, "GPUs that share each batch; null: inherited, by default `compute.gpus`. A change re-runs nothing"
    )
    published: dict[str, dict[str, Any]] | None = key(
        None, "overrides of `embed`, `linear` and `finetune` as its authors evaluate it, for `protocol: published`"
    )
    protocols: tuple[Literal["linear", "knn", "finetune", "semi", "transfer", "few_shot"], ...] | None = key(
        None, "protocols that evaluate it; null: all"
    )
    tables: tuple[TableNumber, ...] | None = key(
        None, "tables with a row for it; null: all. Figures compare the methods of Table 1"
    )


class Checkpoint(Settings):
    """How often unfinished work is saved. Results do not depend on it, so a change re-runs nothing."""

    seconds: Positive = key(
        60.0, "maximum time between checkpoints, in seconds: a kill or power loss costs at most this"
    )
    epochs: int = key(0, "also save after this many epochs; 0: by time only", ge=0)
    folder: str = key(
        "results/.work", "folder for unfinished work, in subfolders named by the digest of settings and inputs"
    )


class Compute(Settings):
    """Device and parallelism. Not part of any digest; every record names the machine."""

    device: Literal["auto", "cpu", "cuda"] = key("auto", "cpu, cuda, or auto: a GPU if there is one")
    threads: Count = key(
        1,
        "CPU threads of a training job per node, shared by its processes; as many jobs run in parallel as cores allow",
    )
    compile: bool = key(
        False,
        "compile the transformer blocks with torch.compile in training; if it is not supported, the log contains a line"
        " about it",
    )
    gpus: Count = key(
        1,
        "GPUs that share each batch of a training, one process each; with `device: cpu`, CPU processes. `batch` stays"
        " the total",
    )
    nodes: Count = key(
        1,
        "Slurm nodes over which a training's GPUs are spread evenly: `gpus: 8, nodes: 2` uses four per node. A "
        "method that sets `gpus: 1` uses one node",
    )


class Config(Settings):
    """One configuration file."""

    preset: str = key(
        "paper",
        "default values: a file in config/presets. paper: the paper, and the released code where the paper is "
        "silent; release: the released code wherever they differ; legacy: this project before it followed the "
        "released stage 2; small: the paper with sizes, masks, steps and more for a few hundred clips. Combine "
        "with +, later ones override: release+small",
    )
    seeds: tuple[Annotated[int, Field(ge=0)], ...] = key(
        (0,), "training seeds; with several, tables show mean ± standard deviation", min_length=1
    )
    code_changes: Literal["rebuild", "warn"] | None = key(
        None,
        "if a stage's source code changes. rebuild: re-run it; warn: only warn; null: warn for training and the "
        "stages before it, re-run the others",
    )
    targets: tuple[str, ...] = key(
        ("quickstart",),
        "default targets of `snakemake`: quickstart, all, table1 … table11, fig1, fig3a, fig3b, fig4, fig6, "
        "curves, claims, comparison, quality, report or a plugin table; or all results of a protocol: linear, "
        "knn, finetune, semi, transfer, few_shot or a plugin protocol",
        min_length=1,
    )
    data: dict[str, Data] = key({}, "data sets by name; the name is the folder under results/")
    recipes: str | None = key(
        None,
        "methods to add to `methods`, which overrides them: name of a file in config/recipes, or path of a .yaml "
        "file; combine with +, as in paper+methods; null: none",
    )
    methods: dict[str, Recipe] = key(
        {
            "scratch": {"protocols": ["linear", "knn", "finetune"]},
            "mamp": {"pretrain": {}},
            "stars": {"from": "mamp", "tune": {}},
        },
        "methods by name; each may start `from` another and set only what differs",
        validate_default=True,
    )
    model: Model = key(Model(), "transformer encoder and decoder")
    pretrain: Pretrain = key(Pretrain(), "stage 1")
    tune: Tune = key(Tune(), "stage 2")
    backbones: dict[str, dict[str, Any]] = key(
        {}, "settings of backbones other than the transformer, by name; the rest keeps its defaults"
    )
    train: Train = key(Train(), "training with any backbone and objective")
    protocol: Literal["common", "published"] = key(
        "common",
        "common: evaluate all methods with the same `embed`, `linear` and `finetune`; published: evaluate each as "
        "its authors do, with its `published`",
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
    table6: ResultTable = key(ResultTable(), "objectives of stage 2, KNN protocol, k = 10")
    table7: ResultTable = key(ResultTable(), "augmentations of stage 2, KNN protocol, k = 10")
    table8: Hyperparameters = key(Hyperparameters(method="moco_aug"), "settings of MoCo tuning")
    table9: ResultTable = key(ResultTable(), "semi-supervised protocol")
    table10: Hyperparameters = key(Hyperparameters(method="dino_aug"), "settings of DINO tuning")
    table11: ResultTable = key(ResultTable(), "local views in DINO tuning, KNN protocol, k = 10, 20, 40")
    fig1: Fig1 = key(Fig1(), "accuracy against training time")
    fig3: Fig3 = key(Fig3(), "layer-wise decay (3a) and queue size (3b)")
    fig4: Fig4 = key(Fig4(), "test features (t-SNE)")
    fig6: Fig6 = key(Fig6(), "confusion matrix")
    comparison: Comparison = key(Comparison(), "comparison page: all protocols")
    claims: Claims = key(Claims(), "test of the paper's claims")
    curves: Comparison = key(Comparison(), "training curves")
    protocols: dict[str, PluginProtocol] = key({}, "plugin protocols by name: files in plugins/protocols")
    tables: dict[str, PluginTable] = key({}, "plugin tables by name: files in plugins/tables")
    inspect: Inspect = key(Inspect(), "quality page: what makes a clip suspicious")
    report: Report = key(Report(), "report page")
    checkpoint: Checkpoint = key(Checkpoint(), "checkpoints of unfinished work")
    compute: Compute = key(Compute(), "device and parallelism")
    tracking: Literal["tensorboard"] | None = key(
        None,
        "where to log training curves besides `curve.csv`. tensorboard: event files in results/logs/tensorboard "
        "(needs the extra `tracking`); null: nowhere",
    )
    _resolved: dict[Any, Any] = PrivateAttr(default_factory=dict)  # cache of stars.pipeline.configuration
