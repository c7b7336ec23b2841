"""Commands that run one stage of the pipeline: a table, and what turns it into options and calls."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from stars.cli import use
from stars.cli.common import CLIPS, TEST, TRAIN, add_config, device, read_json
from stars.cli.launch import follow_launcher, launch
from stars.errors import InputError


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
         "exemplars": "folder of the exemplars' files", "out": "folder for metrics.json and predictions.npz"},
    ),
}  # fmt: skip


def add(commands: Any) -> None:
    """Every stage as a command."""
    for name, command in COMMANDS.items():
        _add_stage(commands, name, command)


class _StageHelp(argparse.Action):
    """--help of a stage: usage, then every setting with its meaning, unit and default."""

    def __call__(self, parser: argparse.ArgumentParser, namespace: Any, values: Any, option: str | None = None) -> None:
        from stars.reference import settings_list

        parser.print_help()
        print("\nsettings (--set key=value, with --config):\n" + settings_list(parser.prog.split()[-1]))
        parser.exit()


def _add_stage(commands: Any, name: str, command: Command) -> None:
    parser = commands.add_parser(name, help=command.help, description=f"{command.help[0].upper()}{command.help[1:]}.", add_help=False)
    parser.add_argument("-h", "--help", action=_StageHelp, nargs=0, help="show this message and every setting")
    for path, text in command.paths.items():
        several = {"nargs": "+", "type": Path} if path == "parts" else {"type": str if path == "target" else Path}
        parser.add_argument(
            f"--{path}", required=not command.reads_files, metavar="NAME" if path == "target" else "PATH", help=text, **several
        )
    for option, (kind, text) in command.options.items():
        # An option without a value counts as left out: a rule may have nothing to give.
        parser.add_argument(f"--{option}", nargs="?", type=kind, metavar="PATH" if kind is Path else "N", help=text)
    if command.reads_files:
        parser.add_argument("files", nargs="*", metavar="FILE", help=use.FILES)
        use.add_model(parser, required=False)
    settings = parser.add_argument_group("settings")
    settings.add_argument("--settings", metavar="JSON", help="the stage's settings, exactly: a line of JSON, or a .json or .yaml file")
    add_config(settings)
    settings.add_argument("--data", metavar="NAME", help="data set of the configuration [its first]")
    settings.add_argument("--split", metavar="NAME", help="split of the data set [its first]") if name == "split" else None
    if name not in ("simulate", "ingest", "join", "split", "subsets", "exemplars"):
        settings.add_argument("--recipe", metavar="NAME", default="stars", help="method of the configuration [stars]")
    if command.uses_device:
        parser.add_argument(
            "--device", default="auto", choices=["auto", "cpu", "cuda"], help="where the arithmetic runs [auto: a GPU if there is one]"
        )
        parser.add_argument("--threads", type=int, metavar="N", help="CPU threads [all cores]")
    if command.shared:
        parser.add_argument("--gpus", type=int, default=1, metavar="N", help="GPUs that share each batch; with --device cpu: processes [1]")
    if command.trains:
        if name != "linear":  # whose encoder is not trained
            parser.add_argument("--compile", default="no", choices=["yes", "no"], help="torch.compile of the encoder, where it works [no]")
        parser.add_argument("--work", default="results/.work", metavar="PATH", help="folder for work in progress [results/.work]")
        parser.add_argument("--checkpoint-seconds", type=float, default=60.0, metavar="S", help="seconds between checkpoints [60]")
        parser.add_argument(
            "--checkpoint-epochs", type=int, default=0, metavar="N", help="save after every N epochs too [0: by time alone]"
        )
    parser.set_defaults(handler=_run_stage, command=command)


def _run_stage(chosen: argparse.Namespace) -> int:
    from stars.jobs import devices

    command: Command = chosen.command
    if command.reads_files and chosen.files:
        use.embed(chosen)
        return 0
    if missing := [path for path in command.paths if getattr(chosen, path) is None]:
        raise InputError(f"give files and --encoder; or, of a split's clips, --{', --'.join(missing)}")
    if command.shared and chosen.gpus > 1 and "LOCAL_RANK" not in os.environ:
        if chosen.device != "cpu":
            devices.hold(chosen.gpus)
        return launch(chosen.arguments, chosen.gpus)
    settings = _settings(chosen)
    paths = [getattr(chosen, path) for path in command.paths]
    options = {name: getattr(chosen, name) for name in command.options if getattr(chosen, name) is not None}
    if command.uses_device:
        options["device"] = device(chosen.device, chosen.threads)
    with _training(chosen, options) if command.trains else nullcontext():
        _named(command.run)(*paths, settings=settings, **options)
    return 0


@contextmanager
def _training(chosen: argparse.Namespace, options: dict[str, Any]) -> Iterator[None]:
    """What a training is told besides, and the other processes that share it."""
    from stars.config import Checkpoint
    from stars.training import compiling, parallel, stopping

    options["checkpoint"] = Checkpoint(seconds=chosen.checkpoint_seconds, epochs=chosen.checkpoint_epochs, folder=chosen.work)
    follow_launcher()
    with (
        stopping.notices_kept(),
        parallel.group(options["device"]) if chosen.command.shared else nullcontext(),
        compiling.wanted(getattr(chosen, "compile", "no") == "yes"),
    ):
        yield


def _settings(chosen: argparse.Namespace) -> Any:
    """The stage's typed settings, exactly as given or resolved from the configuration."""
    from stars import recipes

    if chosen.settings is None:
        config = recipes.load_file(chosen.config, chosen.set)
        data = _choice("data", chosen.data, config.data, chosen.config)
        split = _choice("split", getattr(chosen, "split", None), config.data[data].splits, chosen.config)
        name = _choice("recipe", chosen.recipe, config.methods, chosen.config) if "recipe" in chosen else ""
        value = recipes.stage_settings(config, chosen.command.stage, data, recipes.tag(config, name, config.seeds[0]), split)
    elif chosen.settings.endswith((".json", ".yaml")):
        value = recipes.read_yaml(chosen.settings)
    else:
        value = read_json("--settings", chosen.settings)
    return recipes.validate(_named(chosen.command.settings), value, "settings")


def _choice(what: str, given: str | None, known: Any, source: str) -> str:
    from stars.recipes import nearest

    if not known:
        block = {"data": "data", "recipe": "methods"}[what]
        raise InputError(f"{source}: nothing is configured under {block}: add a block there")
    if given is not None and given not in known:
        raise InputError(f"--{what} {given}: not in {source}{nearest(given, known)}")
    return given or next(iter(known))


def _named(path: str) -> Any:
    module, name = path.split(":")
    return getattr(import_module(module), name)
