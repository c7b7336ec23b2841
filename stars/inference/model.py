"""A trained encoder for your own clips: features, and a library of labelled clips to compare with."""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

import numpy as np
import torch

from stars.backbones.base import Backbone
from stars.config import Embed
from stars.errors import InputError
from stars.evaluation.features import frozen_features
from stars.inference import folder, library
from stars.inference.clips import Given, OwnClip, clips, features
from stars.inference.preparation import EXPORTED, Preparation
from stars.training.weights import load_encoder

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

Precision: TypeAlias = Literal["fp32", "bf16", "quicker"]
TRIED, TIMES = 4, 2  # bodies and repetitions when comparing precisions


@dataclass(frozen=True, eq=False)
class Model:
    """A frozen encoder, and the preparation of its clips.

    Attributes:
        path: its file; sha256: digest of that file, stored with features.
    """

    path: Path
    sha256: str
    encoder: Backbone
    preparation: Preparation
    device: str

    def __repr__(self) -> str:
        return f"Model({self.path}: {self.encoder.name}, {self.encoder.joints} joints, features of {self.width})"

    @classmethod
    def load(
        cls,
        path: str | Path,
        like: str | None = None,
        device: str = "cpu",
        precision: Precision | None = None,
        skeleton: str | None = None,
        fps: float | None = None,
    ) -> Model:
        """See `stars.load`."""
        path = folder.weights(Path(path))
        encoder = load_encoder(path, device).eval().requires_grad_(False)
        preparation = Preparation.of(path, encoder.joints, like, skeleton, fps)
        if precision is not None:
            chosen = quicker(encoder, device) if precision == "quicker" else precision
            embed = Embed(**{**preparation.embed.model_dump(), "precision": chosen})
            preparation = preparation.model_copy(update={"embed": embed})
        return cls(path, hashlib.sha256(path.read_bytes()).hexdigest(), encoder, preparation, device)

    @property
    def width(self) -> int:
        """C, the dimension of features."""
        return self.encoder.width

    def read(self, given: Given | Iterable[Given]) -> list[OwnClip]:
        """Read clips as the encoder's data set stores them: name and joints (T, M, V, 3) float32, centred, in metres.

        Args:
            given: a file (.skeleton, .npy, .mat, .json, .csv), a folder or zip of them, joints (T, V, 3) or (T, M, V,
                3) in metres; or several of these.

        Raises:
            InputError: a file is missing, unreadable or has no body. In a folder or zip, clips without a body are
                skipped with a warning.
        """
        return list(clips(given, self.preparation))

    def embed(self, given: Given | Iterable[Given]) -> np.ndarray:
        """Features (N, C) float32 of clips, in the order of `read`; identical to the workflow's features of the same
        clips.
        """
        return self.named_features(clips(given, self.preparation))[1]

    def named_features(self, given: Iterable[OwnClip]) -> tuple[list[str], np.ndarray]:
        """Names and features (N, C) of clips from `read`."""
        return features(self.encoder, given, self.preparation.embed, self.device)

    def library(self, path: str | Path | None = None) -> library.Library:
        """Labelled clips to compare with.

        Args:
            path: a folder or zip of clips, labelled by sub-folders, by a clips.csv, or by names as in NTU; a file of
                `stars embed --out`; or a method's results folder, for the features of its training clips. None: the
                training clips of this encoder.

        Raises:
            InputError: it is none of these, a clip has no label, or the features come from another encoder.
        """
        if path is None and self.path.with_name(EXPORTED).is_file():
            raise InputError(f"{self.path.parent} has no training clips beside its weights: name a library (--library)")
        return library.find(self, self.path.parent if path is None else Path(path))

    def evaluate(self, folder: str | Path, group_by: str | None = None) -> Shown:
        """Cross-validated accuracy on labelled clips, with this encoder and with raw joints, as in `stars evaluate`.

        Args:
            folder: its sub-folders are actions, or it has a clips.csv.
            group_by: the subject: a column of clips.csv, or a regular expression on paths; None: the column `subject`.

        Raises:
            InputError: a clip without a label, or too few of them.
        """
        from stars.inference import labelled, verdict  # matplotlib and scikit-learn are slow to import
        from stars.inference.evaluate import evaluate

        found = evaluate(labelled.read(self, folder, group_by))
        return Shown(found.methods(), verdict.figure(found))


class Shown(NamedTuple):
    """An evaluation's table, one row per classifier, and its pictures, displayed in notebooks."""

    table: pd.DataFrame
    figure: Figure

    def _repr_html_(self) -> str:
        from stars.inference.verdict import png

        picture = base64.b64encode(png(self.figure)).decode()
        return (
            self.table.round(1).to_html(index=False)
            + f'<img alt="confusion, reliability, learning curve" src="data:image/png;base64,{picture}">'
        )


def quicker(encoder: Backbone, device: str) -> Literal["fp32", "bf16"]:
    """The precision in which this machine encodes a few bodies faster."""
    bodies = torch.ones(TRIED, 1, encoder.frames, encoder.joints, 3, device=device)
    bodies *= torch.arange(1, TRIED + 1, device=device).view(-1, 1, 1, 1, 1)
    taken = {}
    for precision in ("fp32", "bf16"):
        settings = Embed(precision=precision)
        seconds = []
        for _ in range(1 + TIMES):  # the first is a warm-up
            began = time.perf_counter()
            frozen_features(encoder, bodies, None, settings).cpu()
            seconds.append(time.perf_counter() - began)
        taken[precision] = min(seconds[1:])
    return "bf16" if taken["bf16"] < taken["fp32"] else "fp32"
