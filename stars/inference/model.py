"""A trained encoder on clips of one's own: features, and a library of labelled clips to compare with."""

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
TRIED, TIMES = 4, 2  # bodies and repetitions in a comparison of precisions


@dataclass(frozen=True, eq=False)
class Model:
    """A frozen encoder, and how clips are prepared for it.

    Attributes:
        path: its file; sha256: of that file's bytes, which features are kept with.
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
        """As `stars.load` says."""
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
        """C, numbers in a feature."""
        return self.encoder.width

    def read(self, given: Given | Iterable[Given]) -> list[OwnClip]:
        """Clips as the encoder's training would have stored them: name and joints (T, M, V, 3) float32, centred, in metres.

        Args:
            given: a file (.skeleton, .npy, .mat, .json, .csv), a folder or zip of them, joints (T, V, 3) or (T, M, V, 3) in metres; or several.

        Raises:
            InputError: a file is not there or cannot be read, or nobody is in it. Of a folder or zip, clips without a body are left out
                with a warning.
        """
        return list(clips(given, self.preparation))

    def embed(self, given: Given | Iterable[Given]) -> np.ndarray:
        """Features (N, C) float32 of clips, in the order of `read`: those that the workflow's `features` hold of the same clips."""
        return self.named_features(clips(given, self.preparation))[1]

    def named_features(self, given: Iterable[OwnClip]) -> tuple[list[str], np.ndarray]:
        """Names and features (N, C) of clips that were read."""
        return features(self.encoder, given, self.preparation.embed, self.device)

    def library(self, path: str | Path | None = None) -> library.Library:
        """Labelled clips to compare with.

        Args:
            path: a folder or zip of clips, labelled by the folders they lie in, by a clips.csv, or by their names as in NTU; a file of
                `stars embed --out`; or a method's folder in a results folder, for the features of its training clips. None: those of this encoder.

        Raises:
            InputError: it is none of these, a clip has no label, or features are of another encoder.
        """
        if path is None and self.path.with_name(EXPORTED).is_file():
            raise InputError(f"{self.path.parent} has no training clips beside its weights: name a library (--library)")
        return library.find(self, self.path.parent if path is None else Path(path))

    def evaluate(self, folder: str | Path, group_by: str | None = None) -> Shown:
        """How well the actions of labelled clips are told apart, by this encoder and by raw joints, cross-validated as `stars evaluate` does.

        Args:
            folder: its sub-folders are actions, or it has a clips.csv.
            group_by: who acts in a clip: a column of clips.csv, or a regular expression on paths; None: the column `subject`.

        Raises:
            InputError: a clip without a label, or too few of them.
        """
        from stars.inference import labelled, verdict  # matplotlib and scikit-learn are slow to import
        from stars.inference.evaluate import evaluate

        found = evaluate(labelled.read(self, folder, group_by))
        return Shown(found.methods(), verdict.figure(found))


class Shown(NamedTuple):
    """An evaluation's table, a row a classifier, and its pictures. A notebook shows both."""

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
    """The precision in which this machine encodes a few bodies sooner."""
    bodies = torch.ones(TRIED, 1, encoder.frames, encoder.joints, 3, device=device)
    bodies *= torch.arange(1, TRIED + 1, device=device).view(-1, 1, 1, 1, 1)
    taken = {}
    for precision in ("fp32", "bf16"):
        settings = Embed(precision=precision)
        seconds = []
        for _ in range(1 + TIMES):  # the first is slower
            began = time.perf_counter()
            frozen_features(encoder, bodies, None, settings).cpu()
            seconds.append(time.perf_counter() - began)
        taken[precision] = min(seconds[1:])
    return "bf16" if taken["bf16"] < taken["fp32"] else "fp32"
