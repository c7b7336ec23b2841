"""What a library needs of a trained encoder: something that embeds clips, and says which encoder did."""

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
        path: its file; sha256: of that file's bytes, which features are kept with; preparation: how clips are prepared for it.
    """

    @property
    def path(self) -> Path: ...

    @property
    def sha256(self) -> str: ...

    @property
    def preparation(self) -> Preparation: ...

    def read(self, given: Given | Iterable[Given]) -> list[OwnClip]:
        """Clips as the encoder's training would have stored them."""

    def named_features(self, given: Iterable[OwnClip]) -> tuple[list[str], np.ndarray]:
        """Names and features (N, C) of clips that were read."""


def check_encoder(model: Embedder, sha256: str, source: Path) -> None:
    """InputError where features were made by another encoder than this."""
    if sha256 != model.sha256:
        raise InputError(f"{source} holds features of another encoder than {model.path}: embed its clips with this one")
