"""KNN on held-out TRAINING subjects: where settings are chosen, so that the test split is only ever reported.

python benchmarks/held_out.py --config config/config.yaml --data demo --hold 7 9 [--methods mamp stars] [--set
tune.optimiser.epochs=10 ...]

Needs the clips and the split (`snakemake --cores 2 results/demo/splits/xsub_train.npy`). Prints accuracy and effective
rank of each method.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from stars.config import Checkpoint, Config
from stars.data.store import ClipStore
from stars.evaluation.features import EmbedStage, embed
from stars.evaluation.knn import neighbours
from stars.pipeline import configuration
from stars.provenance.files import read_npy, write_npy
from stars.training.collapse import effective_rank
from stars.training.pretrain import PretrainStage, pretrain
from stars.training.scratch import ScratchStage, scratch
from stars.training.tune import TuneStage, tune


def held_out(config: Config, data: str, hold: list[int], methods: list[str], folder: Path) -> None:
    """Train each method without the held-out subjects and classify their clips."""
    clips = Path(f"results/{data}/clips")
    store = ClipStore.open(clips)
    training = read_npy(f"results/{data}/splits/{config.data[data].splits[0]}_train.npy")
    subjects = store.table["subject"].to_numpy()[training]
    held = np.isin(subjects, hold)
    rows = {"train": training[~held], "test": training[held]}
    for part, index in rows.items():
        write_npy(folder / f"{part}.npy", index)
    labels = {part: store.labels[index] for part, index in rows.items()}
    for name in methods:
        started = time.perf_counter()
        train_method(config, data, name, clips, folder)
        told = EmbedStage.model_validate(configuration.stage_settings(config, "embed", data, name))
        embed(
            clips,
            folder / "train.npy",
            folder / "test.npy",
            folder / name,
            folder / name,
            data,
            told.model_copy(update={"outputs": ("encoder",)}),
        )
        features = {part: np.load(folder / name / f"{data}_{part}.npy") for part in rows}
        nearest = neighbours(features["test"], features["train"], labels["train"], 1)
        predicted = nearest.labels[:, 0].numpy()
        accuracy = 100 * float(np.mean(predicted == labels["test"]))
        rank = effective_rank(torch.from_numpy(features["train"]))
        print(f"{name:12} KNN {accuracy:5.1f} %  rank {rank:5.1f}  {time.perf_counter() - started:6.1f} s", flush=True)


def train_method(config: Config, data: str, name: str, clips: Path, folder: Path) -> None:
    """Fit one recipe into folder/name; a tuned one starts from its parent's folder, which must be there."""
    recipe = configuration.method(config, data, name)
    told = configuration.stage_settings(config, recipe.kind, data, name)
    work = Checkpoint(folder=str(folder / "work"))
    if recipe.kind == "scratch":
        scratch(clips, folder / name, ScratchStage.model_validate(told))
    elif recipe.kind == "pretrain":
        pretrain(clips, folder / "train.npy", folder / name, PretrainStage.model_validate(told), work)
    else:
        parent = folder / str(recipe.parent) / "encoder.safetensors"
        tune(clips, folder / "train.npy", parent, folder / name, TuneStage.model_validate(told), work)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="config/config.yaml")
    parser.add_argument("--data", default="demo")
    parser.add_argument("--hold", type=int, nargs="+", required=True, help="training subjects held out")
    parser.add_argument("--methods", nargs="+", default=["scratch", "mamp", "stars"])
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        held_out(
            configuration.load_file(chosen.config, chosen.set),
            chosen.data,
            chosen.hold,
            chosen.methods,
            Path(temporary),
        )
