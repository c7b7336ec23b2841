"""Features of a trained encoder, computed once and shared by all evaluations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from stars.backbones import narrow_attention
from stars.backbones.base import Backbone
from stars.backbones.clips import clip_features
from stars.config import Embed, Settings
from stars.data.bodies import Bodies
from stars.data.store import ClipStore
from stars.errors import InputError
from stars.evaluation.metrics import Task, present
from stars.provenance import code
from stars.provenance.files import read_npy, write_npy
from stars.provenance.record import recording
from stars.training.files import clip_inputs
from stars.training.precision import arithmetic, float32_products, resolve
from stars.training.progress import say
from stars.training.weights import backbone_of, load_encoder, load_heads
from stars.views.crop import Clips, View, centre_view

STAGE = "stars.evaluation.features"
Output = str  # "encoder", or the name of a head
Part = Literal["train", "test"]
PARTS: tuple[Part, ...] = ("train", "test")
BATCH = 64  # clips encoded at once; features do not depend on it


class EmbedStage(Settings):
    """Settings of the stage; `outputs` are those that the method has."""

    embed: Embed
    outputs: tuple[Output, ...]


def embed(
    clips: Path,
    train: Path,
    test: Path,
    method: Path,
    out: Path,
    target: str,
    settings: EmbedStage,
    device: str = "cpu",
) -> None:
    """Write the features of a split's clips, centre-cropped on both sides, and {target}.record.json into folder `out`.

    Each output is a float32 file (N, C) with rows in the split's order, named by `feature_file`.

    Args:
        clips: clip store; train, test: split files.
        method: folder with encoder.safetensors, and heads.safetensors if an output is a head's.
        target: name of the data set embedded.

    Raises:
        InputError: a file is missing or does not fit the others, or a feature is not finite.
    """
    store = ClipStore.open(clips)
    task = Task.of(store, train, test, target)
    weights = {"encoder": Path(method) / "encoder.safetensors"}
    if set(settings.outputs) != {"encoder"}:
        weights["heads"] = Path(method) / "heads.safetensors"
    inputs = present({**clip_inputs(Path(clips), Path(train)), "test": test, **weights})
    files = {(part, output): feature_file(out, target, part, output) for part in PARTS for output in settings.outputs}
    names = [path.name for path in files.values()]
    stage = code.of_backbone(STAGE, backbone_of(weights["encoder"]))
    with recording(out, stage, settings.model_dump(mode="json"), inputs, names, f"{target}.record.json") as notes:
        notes["precision"] = resolve(device, settings.embed.precision)
        encoder = open_encoder(weights["encoder"], store, device)
        heads = load_heads(weights["heads"], encoder) if "heads" in weights else {}
        for part in PARTS:
            rows = rows_of(task, part)
            features = encode(encoder, Clips.of(store, rows, device), settings.embed)
            outputs = head_outputs(features, heads, settings.outputs)
            for output, values in outputs.items():
                path = files[part, output]
                check_finite(values, task.names[rows], path)
                write_npy(path, values)
            say(f"embed: {len(rows)} {part} clips")
        if torch.device(device).type == "cuda":
            notes["attention"] = narrow_attention.kernels_used()


def open_encoder(path: Path, store: ClipStore, device: str) -> Backbone:
    """A frozen encoder in eval mode; InputError if its joints are not the store's."""
    encoder = load_encoder(path, device).eval().requires_grad_(False)
    check_joints(encoder, store, path)
    return encoder


def check_joints(encoder: Backbone, store: ClipStore, path: Path) -> None:
    """InputError if the encoder is for another number of joints than the clips have."""
    if encoder.joints != store.joints:
        raise InputError(
            f"{path} was trained on {encoder.joints} joints, but the clips have {store.joints}: choose another data set"
            " or method"
        )


def encode(encoder: Backbone, clips: Clips, settings: Embed) -> np.ndarray:
    """Features of whole clips, centre-cropped: (N, C) float32 in the order of `clips`."""

    def view(rows: Tensor) -> View:
        return centre_view(clips, rows, encoder.frames, settings.test_crop)

    features = [frozen_features(encoder, *view(rows), settings) for rows in torch.arange(len(clips)).split(BATCH)]
    return torch.cat(features).cpu().numpy()


@torch.no_grad()
def frozen_features(encoder: Backbone, x_bmtvc: Tensor, known: Bodies | None, settings: Embed) -> Tensor:
    """Clip features (B, C) float32, without gradients, in the precision of `embed`; `known`: masks of bodies,
    computed if None.
    """
    device = x_bmtvc.device
    with arithmetic(device, settings.precision), float32_products(device, settings.precision):
        return clip_features(encoder, x_bmtvc, settings.bodies, known=known).float()


@torch.no_grad()
def head_outputs(
    features: np.ndarray, heads: Mapping[str, nn.Module], outputs: tuple[Output, ...]
) -> dict[Output, np.ndarray]:
    """Encoder features (N, C) and the heads' outputs, each computed from the previous one: z = projector(y), z⁺ =
    predictor(z).
    """
    made = torch.from_numpy(features)
    found: dict[Output, np.ndarray] = {"encoder": features}
    for name, head in heads.items():
        made = _batched(head, made)
        found[name] = made.numpy()
    return {output: found[output] for output in outputs}


def _batched(head: Callable[[Tensor], Tensor], features: Tensor) -> Tensor:
    return torch.cat([head(rows) for rows in features.split(4096)])  # limits the memory of the wide predictor


def rows_of(task: Task, part: Part) -> np.ndarray:
    """Rows of clips.csv on one side of the split."""
    return task.train_rows if part == "train" else task.test_rows


def feature_file(folder: Path | str, target: str, part: Part, output: Output) -> Path:
    """{target}_{part}.npy for the encoder's output, {target}_{part}_{output}.npy for a head's."""
    return Path(folder) / f"{target}_{part}{'' if output == 'encoder' else f'_{output}'}.npy"


def read_features(folder: Path | str, task: Task, part: Part, output: Output) -> np.ndarray:
    """Features (N, C) float32 of one side of a split; InputError if they are missing, from another split, or not
    finite.
    """
    path, rows = feature_file(folder, task.data, part, output), rows_of(task, part)
    features = read_npy(path)
    if features.ndim != 2 or features.dtype != np.float32 or len(features) != len(rows):
        raise InputError(
            f"{path} contains {features.dtype} {features.shape}, but the split has {len(rows)} {part} clips: embed"
            " again"
        )
    check_finite(features, task.names[rows], path)
    return features


def check_finite(features: np.ndarray, names: np.ndarray, path: Path) -> None:
    """InputError naming file and clip if a feature is NaN or infinite. features (N, C), names (N,)."""
    bad = np.flatnonzero(~np.isfinite(features).all(axis=1))
    if bad.size:
        raise InputError(
            f"{path}: features of clip {names[bad[0]]} and {bad.size - 1} more are not finite: check the clip and the"
            " encoder's training"
        )
