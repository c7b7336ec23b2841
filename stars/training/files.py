"""Inputs of training stages, and outputs besides the weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from stars.backbones import narrow_attention
from stars.backbones.base import Backbone
from stars.config import Checkpoint, Settings
from stars.data.store import ClipStore
from stars.errors import InputError
from stars.provenance.files import hashes, read_npy, write_text
from stars.provenance.record import recording
from stars.training import memory, parallel
from stars.training.checkpoint import Bystander, Work, work_in_progress
from stars.training.plan import Plan
from stars.training.precision import resolve
from stars.views.crop import Clips


def clip_inputs(clips: Path, train: Path, **others: Path) -> dict[str, Path]:
    """Role → input file of a training stage: the clip store, the split's training rows and others; InputError if one
    is missing.
    """
    store = {"clips": clips / "clips.csv", "frames": clips / "frames.npy", "offsets": clips / "offsets.npy"}
    inputs = {**store, "train": train, **others}
    for path in inputs.values():
        if not path.is_file():
            raise InputError(f"{path} is missing: run the stage that makes it")
    return inputs


def training_clips(clips: Path, train: Path) -> tuple[ClipStore, np.ndarray]:
    """The clip store and its training rows, int64 (N,); InputError if they do not belong together."""
    store, index = ClipStore.open(clips), read_npy(train)
    if index.ndim != 1 or index.dtype.kind != "i" or not len(index) or index.min() < 0 or index.max() >= len(store):
        raise InputError(
            f"{train} does not list rows of the {len(store)} clips in {clips}: delete it and make the split again"
        )
    return store, index


def held_clips(stage: str, store: ClipStore, index: np.ndarray, device: str) -> Clips:
    """The training clips in the device's memory; InputError if they do not fit into main memory, from which they are
    copied.
    """
    memory.check_clips(stage, int(np.asarray(store.lengths)[index].sum()), store.frames[:1].nbytes)
    return Clips.of(store, index, device)


@contextmanager
def undertaken(
    out: Path, stage: str, settings: Settings, inputs: dict[str, Path], outputs: tuple[str, ...], checkpoint: Checkpoint
) -> Iterator[tuple[Work, dict[str, Any]]]:
    """Context of a training: yields its work in progress and the notes of its record, which is written at the end.

    With several processes, only the first locks the folders and writes outputs.
    """
    if parallel.rank() > 0:
        yield Bystander(), {}
        return
    values, hashed = settings.model_dump(mode="json"), hashes(inputs)
    with (
        work_in_progress(checkpoint, stage, settings, hashed) as work,
        recording(out, stage, values, inputs, outputs, hashed=hashed) as notes,
    ):
        sweep(out, outputs)
        yield work, notes


def write_settings(path: Path, settings: Settings) -> None:
    """Write settings.yaml: all settings of the stage, including defaults, with sorted keys."""
    write_text(path, yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=True, allow_unicode=True))


def facts(plan: Plan, device: str, precision: str) -> dict[str, str | float]:
    """Facts about a training for its record: size, precision and, on a GPU, attention and peak memory (10^6 bytes)."""
    size: dict[str, str | float] = {
        "train_clips": plan.clips,
        "effective_batch": plan.batch,
        "steps_per_epoch": plan.steps_per_epoch,
        "steps": plan.steps,
    }
    if plan.planned:
        size["cut_off_after_epochs"] = round(plan.epochs, 4)
    found = {**size, "processes": parallel.count(), "nodes": parallel.nodes(), "precision": resolve(device, precision)}
    if torch.device(device).type != "cuda":
        return {**found, "device": device}
    found["attention"] = narrow_attention.kernels_used()
    return {**found, "device": device, "peak_gpu_memory_mb": round(torch.cuda.max_memory_allocated(device) / 1e6, 1)}


def cost(network: Backbone, bodies: int) -> dict[str, float]:
    """Facts about an encoder for the record: parameters, and operations for a clip of `bodies` bodies."""
    return {
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "operations": network.flops() * (1 if network.whole_clips else bodies),
    }


def sweep(out: Path, outputs: tuple[str, ...]) -> None:
    """Remove temporary files of a killed run beside `outputs`."""
    for name in outputs:
        for leftover in out.glob(f".{name}.*.tmp*"):
            leftover.unlink()
