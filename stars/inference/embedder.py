"""Interface of a trained encoder as used by a library."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

import numpy as np

from stars.errors import InputError
from stars.inference.clips import Given, OwnClip
from stars.inference.preparation import Preparation


class Embedder(Protocol):
    """A frozen encoder.

    Attributes:
        path: its file; sha256: digest of that file, stored with features; preparation: of its clips.
    """

    @property
    def path(self) -> Path: ...

    @property
    def sha256(self) -> str: ...

    @property
    def preparation(self) -> Preparation: ...

    def read(self, given: Given | Iterable[Given]) -> list[OwnClip]:
        """Read clips as the encoder's data set stores them."""

    def named_features(self, given: Iterable[OwnClip]) -> tuple[list[str], np.ndarray]:
        """Names and features (N, C) of clips from `read`."""


def check_encoder(model: Embedder, sha256: str, source: Path) -> None:
    """InputError if features come from another encoder."""
    if sha256 != model.sha256:
        raise InputError(f"{source} has features of another encoder than {model.path}: embed its clips again")
