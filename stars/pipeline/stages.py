"""Every stage of the pipeline: its command, the configuration keys that it reads, and the path of its record.

Commands, audit, plan and reference use this table. The rules in workflow/rules run the commands.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CLIPS, TRAIN, TEST = "folder of the clip store", "training rows of the split (.npy)", "test rows of the split (.npy)"
MEMBERS = "members"  # a path that takes several values, like `parts`
RUN = r"(?P<data>\w+)_(?P<split>[a-z0-9]+)"
METHOD = RUN + r"/(?P<folder>[a-z][a-z0-9_.]*(?:-seed\d+)?)"
ACROSS = r"(?P<target>\w+)_(?P<target_split>[a-z0-9]+)"


@dataclass(frozen=True)
class Stage:
    """One stage: its settings class, its function, and the paths that it takes, in the order of the function's
    parameters.

    Attributes:
        name: in the configuration's settings; settings, run: "module:class" and "module:function".
        blocks: configuration keys that it reads.
        places: paths of its record in the results folder, as patterns with named groups.
        kept: its results are kept, with a warning, when its source changes: they may have taken days on a GPU.
        options: optional keyword parameters of the function: name → (type, meaning).
        trains: it writes checkpoints and resumes from them; shared: several processes may split its batches.
        reads_files: it accepts the user's files instead of all these paths.
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
        """The module that contains its function."""
        return self.run.partition(":")[0]


STAGES = {
    "simulate": Stage(
        "simulate raw files in the format of a data set", "simulate", "stars.data.simulate.stage:SimulateStage", "stars.data.simulate:simulate",
        {"out": "zip file or folder to write"},
        blocks=("data.NAME.simulate",), places=(r"(?P<data>\w+)/raw\.zip\.record\.json",), kept=True,
    ),
    "ingest": Stage(
        "convert raw skeleton files to clips", "ingest", "stars.ingest:IngestStage", "stars.ingest:ingest",
        {"raw": "folder or zip of raw files, or a preprocessed data set (.npz, .pkl or a folder of .npy)", "out": "folder of the clip store to write"},
        {"workers": (int, "number of processes that read files [1]"), "setup": (int, "read only this setup; `stars join` merges the parts [all]")},
        blocks=("data.NAME.ingest",), places=(r"(?P<data>\w+)/clips/(?:setups/\d+/)?record\.json",), kept=True,
    ),
    "join": Stage(
        "merge the outputs of `ingest --setup` into one clip store", "join", "stars.ingest:IngestStage", "stars.ingest:join",
        {"parts": "folders written by `stars ingest --setup`, in order", "raw": "folder or zip of raw files", "out": "folder of the clip store to write"},
        blocks=("data.NAME.ingest",), kept=True,
    ),
    "split": Stage(
        "write the training and test rows of an evaluation split", "split", "stars.data.splits:SplitStage", "stars.data.splits:split",
        {"clips": CLIPS, "out": "folder for the split's files"},
        {"raw": (Path, "folder or zip of raw files, if a list in it defines the split")},
        blocks=("data.NAME.splits",), places=(r"(?P<data>\w+)/splits/(?P<split>\w+)\.record\.json",), kept=True,
    ),
    "scratch": Stage(
        "write an encoder with random weights (a baseline)", "scratch", "stars.training.scratch:ScratchStage", "stars.training.scratch:scratch",
        {"clips": CLIPS, "out": "method folder to write"},
        blocks=("model", "backbones"), places=(rf"{METHOD}/record\.json",),
    ),
    "pretrain": Stage(
        "pre-train an encoder by masked motion prediction (stage 1)", "pretrain", "stars.training.pretrain:PretrainStage", "stars.training.pretrain:pretrain",
        {"clips": CLIPS, "train": TRAIN, "out": "method folder to write"}, trains=True, shared=True, uses_device=True,
        blocks=("model", "pretrain"), places=(rf"{METHOD}/record\.json",), kept=True,
    ),
    "tune": Stage(
        "tune an encoder by contrastive learning (stage 2)", "tune", "stars.training.tune:TuneStage", "stars.training.tune:tune",
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
        "extract one network of a method that trains several", "network", "stars.training.network:NetworkStage", "stars.training.network:take",
        {"method": "method folder of the training", "out": "method folder to write"},
        places=(rf"{METHOD}/record\.json",),
    ),
    "embed": Stage(
        "compute features of your clips, or of the clips of a split", "embed",
        "stars.evaluation.features:EmbedStage", "stars.evaluation.features:embed",
        {"clips": CLIPS, "train": TRAIN, "test": TEST, "method": "method folder with encoder.safetensors",
         "out": "folder for the features; with FILE: .npz to write [print them]",
         "target": "name of the data set to embed"},
        uses_device=True, reads_files=True,
        blocks=("embed",), places=(rf"{METHOD}/features/(?:(?P=data)|{ACROSS})\.record\.json",),
    ),
    "joints": Stage(
        "use joint positions as features (a baseline without training)", "joints", "stars.evaluation.joints:JointsStage", "stars.evaluation.joints:describe",
        {"clips": CLIPS, "train": TRAIN, "test": TEST, "out": "folder for the features", "target": "name of the data set"},
        blocks=("joints",), places=(rf"{METHOD}/features/(?:(?P=data)|{ACROSS})\.record\.json",),
    ),
    "ensemble": Stage(
        "fuse several methods: weighted sum of their features", "ensemble", "stars.evaluation.ensemble:EnsembleStage", "stars.evaluation.ensemble:features",
        {MEMBERS: "folders of the members' features, in order", "clips": CLIPS, "train": TRAIN, "test": TEST, "out": "folder for the features",
         "target": "name of the data set"},
        places=(rf"{METHOD}/features/(?:(?P=data)|{ACROSS})\.record\.json",),
    ),
    "knn": Stage(
        "evaluate with k nearest neighbours (KNN)", "knn", "stars.evaluation.knn:KnnStage", "stars.evaluation.knn:evaluate",
        {"features": "folder of the features", "target": "name of the data set", "clips": CLIPS, "train": TRAIN, "test": TEST,
         "out": "folder for metrics.json and predictions.npz"},
        blocks=("knn",), places=(rf"{METHOD}/knn/record\.json",),
    ),
    "map": Stage(
        "project test features to 2D for the report (PCA, t-SNE)", "map", "stars.evaluation.feature_map:MapStage",
        "stars.evaluation.feature_map:feature_map",
        {"features": "folder of the features", "target": "name of the data set", "clips": CLIPS, "train": TRAIN, "test": TEST,
         "out": "folder for map.csv"},
        blocks=("report.points", "report.neighbours", "report.perplexity"), places=(rf"{METHOD}/map/record\.json",),
    ),
    "linear": Stage(
        "evaluate with a linear probe", "linear", "stars.evaluation.linear:LinearStage", "stars.evaluation.linear:evaluate",
        {"method": "method folder with encoder.safetensors", "clips": CLIPS, "train": TRAIN, "test": TEST, "features": "folder of the features",
         "target": "name of the data set", "out": "folder for metrics.json and predictions.npz"},
        trains=True, uses_device=True,
        blocks=("linear", "embed"), places=(rf"{METHOD}/linear/record\.json",), kept=True,
    ),
    "finetune": Stage(
        "evaluate by fine-tuning (on other data: transfer learning)", "finetune",
        "stars.evaluation.finetune:FinetuneStage", "stars.evaluation.finetune:finetune",
        {"encoder": "encoder.safetensors to start from", "clips": CLIPS, "train": TRAIN, "test": TEST, "target": "name of the data set",
         "out": "folder for metrics.json and predictions.npz"},
        trains=True, uses_device=True,
        blocks=("finetune", "embed.test_crop", "embed.bodies"), places=(rf"{METHOD}/finetune/record\.json",), kept=True,
    ),
    "ensemble-scores": Stage(
        "fuse several methods: weighted sum of their class scores", "ensemble_scores", "stars.evaluation.ensemble:ScoresStage",
        "stars.evaluation.ensemble:scores",
        {MEMBERS: "folders of the members' results, in order", "clips": CLIPS, "train": TRAIN, "test": TEST,
         "out": "folder for metrics.json and predictions.npz", "target": "name of the data set"},
        places=(rf"{METHOD}/linear/record\.json", rf"{METHOD}/finetune/record\.json"),
    ),
    "subsets": Stage(
        "draw random subsets of the training clips, for `semi`", "subsets", "stars.data.subsets:SubsetStage", "stars.data.subsets:subsets",
        {"train": TRAIN, "out": "folder for the subsets' files"},
        blocks=("semi.fractions", "semi.subsets"), places=(r"(?P<data>\w+)/splits/semi/(?P<split>\w+)/(?P<variant>[^/]+)\.record\.json",), kept=True,
    ),
    "semi": Stage(
        "evaluate semi-supervised: fine-tune on each subset", "semi", "stars.evaluation.semi:SemiStage", "stars.evaluation.semi:semi",
        {"encoder": "encoder.safetensors to start from", "clips": CLIPS, "subsets": "folder of the subsets' files", "test": TEST,
         "target": "name of the data set", "out": "folder for metrics.json and predictions.npz"},
        trains=True, uses_device=True,
        blocks=("semi", "finetune", "embed.test_crop", "embed.bodies"), places=(rf"{METHOD}/semi/(?P<variant>[^/]+)/record\.json",), kept=True,
    ),
    "exemplars": Stage(
        "draw a few training clips per novel class, for `few-shot`", "exemplars", "stars.data.subsets:ExemplarStage", "stars.data.subsets:exemplars",
        {"clips": CLIPS, "train": TRAIN, "out": "folder for the exemplars' files"},
        blocks=("few_shot.shots", "few_shot.draws"), places=(r"(?P<data>\w+)/splits/few_shot/(?P<split>\w+)/(?P<variant>\d+)\.record\.json",), kept=True,
    ),
    "few-shot": Stage(
        "evaluate few-shot: novel classes from a few clips", "few_shot", "stars.evaluation.few_shot:FewShotStage", "stars.evaluation.few_shot:few_shot",
        {"features": "folder of the features", "target": "name of the data set", "clips": CLIPS, "train": TRAIN, "test": TEST,
         "out": "folder for metrics.json and predictions.npz"},
        {"exemplars": (Path, "folder of the exemplars' files; needed if few_shot.readings contains `exemplars`")},
        blocks=("few_shot.shots", "few_shot.readings", "few_shot.ties", "few_shot.draws", "few_shot.outputs"),
        places=(rf"{METHOD}/few_shot/{ACROSS}/record\.json",),
    ),
}  # fmt: skip
