"""Converts files and arrays to clips with ingest's functions, and clips to features with those of the stage `embed`."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch

from stars.backbones.base import Backbone
from stars.config import Embed
from stars.data.completeness import NO_BODY
from stars.data.convert import stored
from stars.errors import InputError
from stars.evaluation.features import check_finite, encode
from stars.inference.doubts import doubts
from stars.inference.files import File, alone, files
from stars.inference.layouts import Layouts
from stars.inference.preparation import Preparation
from stars.views.crop import Clips

Given: TypeAlias = str | Path | np.ndarray
"""A file, a folder or zip of files, or joints (T, V, 3) or (T, M, V, 3) in metres."""
AT_ONCE = 256  # clips in memory
ARRAY = "array.npy"  # file name assigned to an array


@dataclass(frozen=True, eq=False)
class OwnClip:
    """A clip: name, joints (T, M, V, 3) float32 as in a clip store, and its preparation. Displayed as an animation
    in notebooks.
    """

    name: str
    x_tmvc: np.ndarray
    preparation: Preparation

    def __repr__(self) -> str:
        frames, _, joints = self.x_tmvc.shape[:3]
        bodies = int(self.x_tmvc.any(axis=(0, 2, 3)).sum())
        return f"OwnClip({self.name}: {frames} frames, {bodies} {'body' if bodies == 1 else 'bodies'}, {joints} joints)"

    def _repr_html_(self) -> str:
        from stars.inference.picture import animated  # matplotlib is slow to import

        return animated(self)


class Nobody(InputError):
    """A clip without a body."""


def clips(given: Given | Iterable[Given], preparation: Preparation) -> Iterator[OwnClip]:
    """Iterate over the given clips, in order, those of a folder by path; read one at a time.

    In a folder or zip, clips without a body are skipped with a warning, as in ingest.

    Raises:
        InputError: a file is missing or unreadable, or a directly named one has no body.
    """
    several = [given] if isinstance(given, str | Path | np.ndarray) else list(given)
    with Layouts(preparation).reporting() as layouts:
        for number, one in enumerate(several):
            if isinstance(one, np.ndarray):
                yield _clip(_as_file(one, f"clip {number}"), ARRAY, f"clip {number}", layouts)
            elif alone(one):
                yield read(files(one, preparation.dataset)[0], layouts)
            else:
                yield from inhabited(files(one, preparation.dataset), layouts)


def inhabited(found: Iterable[File], layouts: Layouts) -> Iterator[OwnClip]:
    """The clips of files with a body; a warning for each other file."""
    for file in found:
        try:
            yield read(file, layouts)
        except Nobody:
            layouts.warn(f"{file.name}: {NO_BODY}: skipped")


def read(file: File, layouts: Layouts) -> OwnClip:
    """A file's clip, as in ingest; `layouts.reporting` warns if it is suspicious."""
    return _clip(file.source.read(file.inside), file.inside, file.name, layouts)


def recording(file: File, layouts: Layouts) -> np.ndarray:
    """All frames of a file (T, M, V, 3) on the encoder's joints and frame rate, before centring and cutting; raises
    what `read` does.
    """
    return _whole(file.source.read(file.inside), file.inside, file.name, layouts)


def cut(x_tmvc: np.ndarray, name: str, preparation: Preparation) -> OwnClip:
    """A clip from frames of a recording with a body."""
    return OwnClip(name, stored(x_tmvc, preparation.dataset, preparation.ingest), preparation)


def _as_file(x: np.ndarray, name: str) -> bytes:
    """An array as the bytes of a `.npy` file."""
    if x.dtype.hasobject:
        raise InputError(f"{name}: expected an array of numbers, found {x.dtype}")
    file = io.BytesIO()
    np.save(file, x, allow_pickle=False)
    return file.getvalue()


def _clip(data: bytes, inside: str, name: str, layouts: Layouts) -> OwnClip:
    return cut(_whole(data, inside, name, layouts), name, layouts.preparation)


def _whole(data: bytes, inside: str, name: str, layouts: Layouts) -> np.ndarray:
    x_tmvc, layout = layouts.read(data, inside, name)
    if not x_tmvc.any():
        raise Nobody(f"{name}: {NO_BODY}: remove it")
    try:
        odd = doubts(x_tmvc, layout)
    except InputError as error:
        raise InputError(f"{name}: {error}") from None
    rate = layouts.preparation.fps or layout.fps
    if layout.fps != rate:
        odd.append(f"{layout.fps:g} frames per second, the encoder's clips have {rate:g}: resampled")
    for text in odd:
        layouts.doubt(text, name)
    return resampled(layouts.wanted(x_tmvc, layout, name), rate / layout.fps)


def resampled(x_tmvc: np.ndarray, times: float) -> np.ndarray:
    """Resample frames (T, M, V, 3) by a factor, with linear interpolation; where a body appears or disappears, the
    nearer frame is used.
    """
    if times == 1:
        return x_tmvc
    at = np.arange(max(1, round(len(x_tmvc) * times))) / times
    at = np.minimum(at, len(x_tmvc) - 1)
    before = at.astype(int)
    after, share = np.minimum(before + 1, len(x_tmvc) - 1), (at - before)[:, None, None, None].astype(np.float32)
    present = np.asarray(x_tmvc.any(axis=(2, 3), keepdims=True))
    nearer = x_tmvc[np.rint(at).astype(int)]
    return np.asarray(
        np.where(present[before] & present[after], x_tmvc[before] * (1 - share) + x_tmvc[after] * share, nearer)
    )


def features(encoder: Backbone, given: Iterable[OwnClip], settings: Embed, device: str) -> tuple[list[str], np.ndarray]:
    """Names, and the encoder's features (N, C) float32; InputError without clips."""
    names: list[str] = []
    parts = []
    for some in _batches(given):
        names += [clip.name for clip in some]
        parts.append(encode(encoder, side_by_side(some, device), settings))
    if not parts:
        raise InputError("no clip with a body: name files, or a folder of them")
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


def side_by_side(some: Sequence[OwnClip], device: str, labels: np.ndarray | None = None) -> Clips:
    """Batch clips for training or encoding; labels (N,) int64 are optional for encoding."""
    lengths = np.array([len(clip.x_tmvc) for clip in some], np.int64)
    frames = torch.from_numpy(np.concatenate([clip.x_tmvc for clip in some])).to(device)
    numbers = torch.zeros(len(some), dtype=torch.long) if labels is None else torch.from_numpy(labels)
    return Clips(frames, torch.from_numpy(np.cumsum(lengths) - lengths), torch.from_numpy(lengths), numbers.to(device))
