"""Commands that run one stage of the pipeline: a table, which `stars.cli.running` turns into options and calls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stars.cli.common import CLIPS, TEST, TRAIN


@dataclass(frozen=True)
class Command:
    """One command: the stage's settings class and function, and the paths it takes, in the order of the function's parameters.

    Attributes:
        options: keyword parameters of the function that may be left out: name → (type, meaning).
        trains: it saves work in progress and goes on from it; shared: several processes may share its batches.
        reads_files: it takes files of one's own instead of all these paths.
    """

    help: str
    stage: str
    settings: str
    run: str
    paths: dict[str, str]
    options: dict[str, tuple[Callable[[str], Any], str]] = field(default_factory=dict)
    trains: bool = False
    shared: bool = False
    uses_device: bool = False
    reads_files: bool = False


COMMANDS = {
    "simulate": Command(
        "write synthetic raw files in a data set's layout", "simulate", "stars.data.simulate.stage:SimulateStage", "stars.data.simulate:simulate",
        {"out": "file ending in .zip, or a folder, to write"},
    ),
    "ingest": Command(
        "raw skeleton files to clips", "ingest", "stars.ingest:IngestStage", "stars.ingest:ingest",
        {"raw": "folder or zip with the raw files", "out": "folder of the clip store to write"},
        {"workers": (int, "processes that read files [1]"), "setup": (int, "read this setup alone, as a part for `stars join` [all]")},
    ),
    "join": Command(
        "clip stores of single setups to one", "join", "stars.ingest:IngestStage", "stars.ingest:join",
        {"parts": "folders that `stars ingest --setup` wrote, in order", "raw": "folder or zip with the raw files", "out": "folder of the clip store to write"},
    ),
    "split": Command(
        "training and test rows of an evaluation split", "split", "stars.data.splits:SplitStage", "stars.data.splits:split",
        {"clips": CLIPS, "out": "folder for the split's files"},
        {"raw": (Path, "folder or zip with the raw files, where a list among them decides the split")},
    ),
    "scratch": Command(
        "an encoder with random weights (the floor)", "scratch", "stars.training.scratch:ScratchStage", "stars.training.scratch:scratch",
        {"clips": CLIPS, "out": "method folder to write"},
    ),
    "pretrain": Command(
        "stage 1: masked motion prediction", "pretrain", "stars.training.pretrain:PretrainStage", "stars.training.pretrain:pretrain",
        {"clips": CLIPS, "train": TRAIN, "out": "method folder to write"}, trains=True, shared=True, uses_device=True,
    ),
    "tune": Command(
        "stage 2: contrastive tuning", "tune", "stars.training.tune:TuneStage", "stars.training.tune:tune",
        {"clips": CLIPS, "train": TRAIN, "parent": "encoder.safetensors to start from", "out": "method folder to write"},
        {"heads": (Path, "heads.safetensors to start from [new heads]")}, trains=True, shared=True, uses_device=True,
    ),
    "embed": Command(
        "features of a trained encoder: of files of your own, or of a split's clips", "embed",
        "stars.evaluation.features:EmbedStage", "stars.evaluation.features:embed",
        {"clips": CLIPS, "train": TRAIN, "test": TEST, "method": "method folder with encoder.safetensors",
         "out": "folder for the features; of files: a .npz to write [they are printed]",
         "target": "name of the data set embedded"},
        uses_device=True, reads_files=True,
    ),
    "joints": Command(
        "joint positions as features (the floor without learning)", "joints", "stars.evaluation.joints:JointsStage", "stars.evaluation.joints:describe",
        {"clips": CLIPS, "train": TRAIN, "test": TEST, "out": "folder for the features", "target": "name of the data set"},
    ),
    "knn": Command(
        "K-nearest-neighbour protocol", "knn", "stars.evaluation.knn:KnnStage", "stars.evaluation.knn:evaluate",
        {"features": "folder of the features", "target": "name of the data set", "clips": CLIPS, "train": TRAIN, "test": TEST,
         "out": "folder for metrics.json and predictions.npz"},
    ),
    "map": Command(
        "a map of test features for the report: PCA, t-SNE, nearest clips", "map", "stars.evaluation.feature_map:MapStage",
        "stars.evaluation.feature_map:feature_map",
        {"features": "folder of the features", "target": "name of the data set", "clips": CLIPS, "train": TRAIN, "test": TEST,
         "out": "folder for map.csv"},
    ),
    "linear": Command(
        "linear protocol", "linear", "stars.evaluation.linear:LinearStage", "stars.evaluation.linear:evaluate",
        {"method": "method folder with encoder.safetensors", "clips": CLIPS, "train": TRAIN, "test": TEST, "features": "folder of the features",
         "target": "name of the data set", "out": "folder for metrics.json and predictions.npz"},
        trains=True, uses_device=True,
    ),
    "finetune": Command(
        "fine-tuning protocol; with clips of another data set than the encoder's, transfer", "finetune",
        "stars.evaluation.finetune:FinetuneStage", "stars.evaluation.finetune:finetune",
        {"encoder": "encoder.safetensors to start from", "clips": CLIPS, "train": TRAIN, "test": TEST, "target": "name of the data set",
         "out": "folder for metrics.json and predictions.npz"},
        trains=True, uses_device=True,
    ),
    "subsets": Command(
        "random subsets of the training clips, for semi", "subsets", "stars.data.subsets:SubsetStage", "stars.data.subsets:subsets",
        {"train": TRAIN, "out": "folder for the subsets' files"},
    ),
    "semi": Command(
        "semi-supervised protocol: fine-tuning on each subset", "semi", "stars.evaluation.semi:SemiStage", "stars.evaluation.semi:semi",
        {"encoder": "encoder.safetensors to start from", "clips": CLIPS, "subsets": "folder of the subsets' files", "test": TEST,
         "target": "name of the data set", "out": "folder for metrics.json and predictions.npz"},
        trains=True, uses_device=True,
    ),
    "exemplars": Command(
        "a few training clips of each novel class, for few-shot", "exemplars", "stars.data.subsets:ExemplarStage", "stars.data.subsets:exemplars",
        {"clips": CLIPS, "train": TRAIN, "out": "folder for the exemplars' files"},
    ),
    "few-shot": Command(
        "few-shot protocol", "few_shot", "stars.evaluation.few_shot:FewShotStage", "stars.evaluation.few_shot:few_shot",
        {"features": "folder of the features", "target": "name of the data set", "clips": CLIPS, "train": TRAIN, "test": TEST,
         "out": "folder for metrics.json and predictions.npz"},
        {"exemplars": (Path, "folder of the exemplars' files, for the reading exemplars")},
    ),
}  # fmt: skip
