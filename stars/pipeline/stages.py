"""Every stage of the pipeline: its command, what it reads of the configuration, and where its record lies. Commands, audit, plan and
reference are made of this table; a rule of workflow/rules runs the command."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CLIPS, TRAIN, TEST = "folder of the clip store", "training rows of the split (.npy)", "test rows of the split (.npy)"
MEMBERS = "members"  # a path that takes several, as `parts` does
RUN = r"(?P<data>\w+)_(?P<split>[a-z0-9]+)"
METHOD = RUN + r"/(?P<folder>[a-z][a-z0-9_.]*(?:-seed\d+)?)"
ACROSS = r"(?P<target>\w+)_(?P<target_split>[a-z0-9]+)"


@dataclass(frozen=True)
class Stage:
    """One stage: its settings class and function, and the paths it takes, in the order of the function's parameters.

    Attributes:
        name: in the configuration's settings; settings, run: "module:class" and "module:function".
        blocks: keys of the configuration that it is told of.
        places: where its record lies below the results folder, patterns with named parts.
        kept: whether its results stay when its source changes, as those of days on a GPU must; a warning says so.
        options: keyword parameters of the function that may be left out: name → (type, meaning).
        trains: it saves work in progress and goes on from it; shared: several processes may share its batches.
        reads_files: it takes files of one's own instead of all these paths.
    """

    help: str
    name: str
    settings: str
    run: str
    paths: dict[str, str]
    options: dict[str, tuple[Callable[[str], Any], str]] = field(default_factory=dict)
    blocks: tuple[str, ...] = ()
    places: tuple[str, ...] = ()
    kept: bool = False
    trains: bool = False
    shared: bool = False
    uses_device: bool = False
    reads_files: bool = False

    @property
    def module(self) -> str:
        """Where its source begins."""
        return self.run.partition(":")[0]


STAGES = {
    "simulate": Stage(
        "simulate raw files in a data set's layout", "simulate", "stars.data.simulate.stage:SimulateStage", "stars.data.simulate:simulate",
        {"out": "file ending in .zip, or a folder, to write"},
        blocks=("data.NAME.simulate",), places=(r"(?P<data>\w+)/raw\.zip\.record\.json",), kept=True,
    ),
    "ingest": Stage(
        "convert raw skeleton files to clips", "ingest", "stars.ingest:IngestStage", "stars.ingest:ingest",
        {"raw": "folder or zip with the raw files, or a preprocessed data set (.npz, .pkl, a folder of .npy)", "out": "folder of the clip store to write"},
        {"workers": (int, "processes that read files [1]"), "setup": (int, "read this setup only, as a part for `stars join` [all]")},
        blocks=("data.NAME.ingest",), places=(r"(?P<data>\w+)/clips/(?:setups/\d+/)?record\.json",), kept=True,
    ),
    "join": Stage(
        "merge the clip stores of single setups into one", "join", "stars.ingest:IngestStage", "stars.ingest:join",
        {"parts": "folders that `stars ingest --setup` wrote, in order", "raw": "folder or zip with the raw files", "out": "folder of the clip store to write"},
        blocks=("data.NAME.ingest",), kept=True,
    ),
    "split": Stage(
        "training and test rows of an evaluation split", "split", "stars.data.splits:SplitStage", "stars.data.splits:split",
        {"clips": CLIPS, "out": "folder for the split's files"},
        {"raw": (Path, "folder or zip with the raw files, if a list among them defines the split")},
        blocks=("data.NAME.splits",), places=(r"(?P<data>\w+)/splits/(?P<split>\w+)\.record\.json",), kept=True,
    ),
    "scratch": Stage(
        "an encoder with random weights (a baseline)", "scratch", "stars.training.scratch:ScratchStage", "stars.training.scratch:scratch",
        {"clips": CLIPS, "out": "method folder to write"},
        blocks=("model", "backbones"), places=(rf"{METHOD}/record\.json",),
    ),
    "pretrain": Stage(
        "stage 1: masked motion prediction", "pretrain", "stars.training.pretrain:PretrainStage", "stars.training.pretrain:pretrain",
        {"clips": CLIPS, "train": TRAIN, "out": "method folder to write"}, trains=True, shared=True, uses_device=True,
        blocks=("model", "pretrain"), places=(rf"{METHOD}/record\.json",), kept=True,
    ),
    "tune": Stage(
        "stage 2: contrastive tuning", "tune", "stars.training.tune:TuneStage", "stars.training.tune:tune",
        {"clips": CLIPS, "train": TRAIN, "parent": "encoder.safetensors to start from", "out": "method folder to write"},
        {"heads": (Path, "heads.safetensors to start from [new heads]")}, trains=True, shared=True, uses_device=True,
        blocks=("tune",), places=(rf"{METHOD}/record\.json",), kept=True,
    ),
    "train": Stage(
        "train any backbone with any objective", "train", "stars.training.train:TrainStage", "stars.training.train:train",
        {"clips": CLIPS, "train": TRAIN, "out": "method folder to write"},
        {"parent": (Path, "method folder whose networks to start from [new networks]"),
         "heads": (Path, "heads.safetensors to start from [new heads]")}, trains=True, shared=True, uses_device=True,
        blocks=("train", "backbones", "model"), places=(rf"{METHOD}/record\.json",), kept=True,
    ),
    "network": Stage(
        "extract one network from a run that trained several", "network", "stars.training.network:NetworkStage", "stars.training.network:take",
        {"method": "method folder of the training", "out": "method folder to write"},
        places=(rf"{METHOD}/record\.json",),
    ),
    "embed": Stage(
        "compute features of your own files, or of a split's clips", "embed",
        "stars.evaluation.features:EmbedStage", "stars.evaluation.features:embed",
        {"clips": CLIPS, "train": TRAIN, "test": TEST, "method": "method folder with encoder.safetensors",
         "out": "folder for the features; with files: .npz to write [print them]",
         "target": "name of the data set embedded"},
        uses_device=True, reads_files=True,
        blocks=("embed",), places=(rf"{METHOD}/features/(?:(?P=data)|{ACROSS})\.record\.json",),
    ),
    "joints": Stage(
        "joint positions as features (a baseline without training)", "joints", "stars.evaluation.joints:JointsStage", "stars.evaluation.joints:describe",
        {"clips": CLIPS, "train": TRAIN, "test": TEST, "out": "folder for the features", "target": "name of the data set"},
        blocks=("joints",), places=(rf"{METHOD}/features/(?:(?P=data)|{ACROSS})\.record\.json",),
    ),
    "ensemble": Stage(
        "add up the features of several methods", "ensemble", "stars.evaluation.ensemble:EnsembleStage", "stars.evaluation.ensemble:features",
        {MEMBERS: "folders of the members' features, in order", "clips": CLIPS, "train": TRAIN, "test": TEST, "out": "folder for the features",
         "target": "name of the data set"},
        places=(rf"{METHOD}/features/(?:(?P=data)|{ACROSS})\.record\.json",),
    ),
    "knn": Stage(
        "k-nearest-neighbour protocol", "knn", "stars.evaluation.knn:KnnStage", "stars.evaluation.knn:evaluate",
        {"features": "folder of the features", "target": "name of the data set", "clips": CLIPS, "train": TRAIN, "test": TEST,
         "out": "folder for metrics.json and predictions.npz"},
        blocks=("knn",), places=(rf"{METHOD}/knn/record\.json",),
    ),
    "map": Stage(
        "a map of test features for the report: PCA, t-SNE, neighbours", "map", "stars.evaluation.feature_map:MapStage",
        "stars.evaluation.feature_map:feature_map",
        {"features": "folder of the features", "target": "name of the data set", "clips": CLIPS, "train": TRAIN, "test": TEST,
         "out": "folder for map.csv"},
        blocks=("report.points", "report.neighbours", "report.perplexity"), places=(rf"{METHOD}/map/record\.json",),
    ),
    "linear": Stage(
        "linear-probe protocol", "linear", "stars.evaluation.linear:LinearStage", "stars.evaluation.linear:evaluate",
        {"method": "method folder with encoder.safetensors", "clips": CLIPS, "train": TRAIN, "test": TEST, "features": "folder of the features",
         "target": "name of the data set", "out": "folder for metrics.json and predictions.npz"},
        trains=True, uses_device=True,
        blocks=("linear", "embed"), places=(rf"{METHOD}/linear/record\.json",), kept=True,
    ),
    "finetune": Stage(
        "fine-tuning protocol; on another data set: transfer learning", "finetune",
        "stars.evaluation.finetune:FinetuneStage", "stars.evaluation.finetune:finetune",
        {"encoder": "encoder.safetensors to start from", "clips": CLIPS, "train": TRAIN, "test": TEST, "target": "name of the data set",
         "out": "folder for metrics.json and predictions.npz"},
        trains=True, uses_device=True,
        blocks=("finetune", "embed.test_crop", "embed.bodies"), places=(rf"{METHOD}/finetune/record\.json",), kept=True,
    ),
    "ensemble-scores": Stage(
        "add up the scores of several methods' classifiers", "ensemble_scores", "stars.evaluation.ensemble:ScoresStage",
        "stars.evaluation.ensemble:scores",
        {MEMBERS: "folders of the members' results, in order", "clips": CLIPS, "train": TRAIN, "test": TEST,
         "out": "folder for metrics.json and predictions.npz", "target": "name of the data set"},
        places=(rf"{METHOD}/linear/record\.json", rf"{METHOD}/finetune/record\.json"),
    ),
    "subsets": Stage(
        "draw random subsets of the training clips, for semi", "subsets", "stars.data.subsets:SubsetStage", "stars.data.subsets:subsets",
        {"train": TRAIN, "out": "folder for the subsets' files"},
        blocks=("semi.fractions", "semi.subsets"), places=(r"(?P<data>\w+)/splits/semi/(?P<split>\w+)/(?P<variant>[^/]+)\.record\.json",), kept=True,
    ),
    "semi": Stage(
        "semi-supervised protocol: fine-tuning on each subset", "semi", "stars.evaluation.semi:SemiStage", "stars.evaluation.semi:semi",
        {"encoder": "encoder.safetensors to start from", "clips": CLIPS, "subsets": "folder of the subsets' files", "test": TEST,
         "target": "name of the data set", "out": "folder for metrics.json and predictions.npz"},
        trains=True, uses_device=True,
        blocks=("semi", "finetune", "embed.test_crop", "embed.bodies"), places=(rf"{METHOD}/semi/(?P<variant>[^/]+)/record\.json",), kept=True,
    ),
    "exemplars": Stage(
        "draw a few training clips of each novel class, for few-shot", "exemplars", "stars.data.subsets:ExemplarStage", "stars.data.subsets:exemplars",
        {"clips": CLIPS, "train": TRAIN, "out": "folder for the exemplars' files"},
        blocks=("few_shot.shots", "few_shot.draws"), places=(r"(?P<data>\w+)/splits/few_shot/(?P<split>\w+)/(?P<variant>\d+)\.record\.json",), kept=True,
    ),
    "few-shot": Stage(
        "few-shot protocol", "few_shot", "stars.evaluation.few_shot:FewShotStage", "stars.evaluation.few_shot:few_shot",
        {"features": "folder of the features", "target": "name of the data set", "clips": CLIPS, "train": TRAIN, "test": TEST,
         "out": "folder for metrics.json and predictions.npz"},
        {"exemplars": (Path, "folder of the exemplars' files, where few_shot.readings has `exemplars`")},
        blocks=("few_shot.shots", "few_shot.readings", "few_shot.ties", "few_shot.draws", "few_shot.outputs"),
        places=(rf"{METHOD}/few_shot/{ACROSS}/record\.json",),
    ),
}  # fmt: skip
