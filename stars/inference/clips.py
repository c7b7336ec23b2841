"""Files and arrays to clips, by the very functions that ingest uses, and clips to features, by those of the stage `embed`."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch

from stars.backbones.base import Backbone
from stars.config import Embed
from stars.data.completeness import NO_BODY
from stars.data.convert import actors, stored
from stars.data.readers import Layout
from stars.errors import InputError
from stars.evaluation.features import check_finite, encode
from stars.inference.files import File, alone, files, layout_of
from stars.inference.preparation import Preparation
from stars.views.crop import Clips

Given: TypeAlias = str | Path | np.ndarray
"""A file, a folder or zip of files, or joints (T, V, 3) or (T, M, V, 3) in metres."""
AT_ONCE = 256  # clips held in memory


@dataclass(frozen=True, eq=False)
class OwnClip:
    """A clip: its name, and joints (T, M, V, 3) float32 as a clip store holds them."""

    name: str
    x_tmvc: np.ndarray


class Nobody(InputError):
    """A clip in which nobody is seen."""


def clips(given: Given | Iterable[Given], preparation: Preparation) -> Iterator[OwnClip]:
    """Every clip that is given, in order, those of a folder by their paths; read one at a time.

    Of a folder or zip, clips in which nobody is seen are left out, as ingest does, with a warning.

    Raises:
        InputError: a file is not there or cannot be read, or nobody is in one that is named itself.
    """
    several = [given] if isinstance(given, str | Path | np.ndarray) else list(given)
    for number, one in enumerate(several):
        if isinstance(one, np.ndarray):
            yield _array(one, f"clip {number}", preparation)
        elif alone(one):
            yield read(files(one, preparation.dataset)[0], preparation)
        else:
            yield from inhabited(files(one, preparation.dataset), preparation)


def inhabited(found: Iterable[File], preparation: Preparation) -> Iterator[OwnClip]:
    """The clips of files in which somebody is seen; a warning for each of the others."""
    for file in found:
        try:
            yield read(file, preparation)
        except Nobody:
            warnings.warn(f"{file.name}: {NO_BODY}: left out", stacklevel=2)


def read(file: File, preparation: Preparation) -> OwnClip:
    """A file's clip, as ingest makes it."""
    return _clip(file.source.read(file.inside), file.name, layout_of(file, preparation.dataset), preparation)


def _array(x: np.ndarray, name: str, preparation: Preparation) -> OwnClip:
    """An array is taken for what a `.npy` file with it would be."""
    if x.dtype.hasobject:
        raise InputError(f"{name}: expected an array of numbers, found {x.dtype}")
    file = io.BytesIO()
    np.save(file, x, allow_pickle=False)
    return _clip(file.getvalue(), name, preparation.dataset.model_copy(update={"reader": "folder"}), preparation)


def _clip(data: bytes, name: str, layout: Layout, preparation: Preparation) -> OwnClip:
    x_tmvc = actors(data, name, layout, preparation.ingest)
    if not x_tmvc.any():
        raise Nobody(f"{name}: {NO_BODY}: leave it out")
    return OwnClip(name, stored(x_tmvc, layout, preparation.ingest))


def features(encoder: Backbone, given: Iterable[OwnClip], settings: Embed, device: str) -> tuple[list[str], np.ndarray]:
    """Names, and features (N, C) float32 of the encoder, N the clips; InputError where there is none."""
    names: list[str] = []
    parts = []
    for some in _batches(given):
        names += [clip.name for clip in some]
        parts.append(encode(encoder, _side_by_side(some, device), settings))
    if not parts:
        raise InputError("no clip is given in which somebody is seen: name files, or a folder of them")
    found = np.concatenate(parts)
    check_finite(found, np.array(names), Path("clips"))
    return names, found


def _batches(given: Iterable[OwnClip]) -> Iterator[list[OwnClip]]:
    some: list[OwnClip] = []
    for clip in given:
        some.append(clip)
        if len(some) == AT_ONCE:
            yield some
            some = []
    if some:
        yield some


def _side_by_side(some: Sequence[OwnClip], device: str) -> Clips:
    lengths = np.array([len(clip.x_tmvc) for clip in some], np.int64)
    frames = torch.from_numpy(np.concatenate([clip.x_tmvc for clip in some])).to(device)
    labels = torch.zeros(len(some), dtype=torch.long, device=device)
    return Clips(frames, torch.from_numpy(np.cumsum(lengths) - lengths), torch.from_numpy(lengths), labels)
