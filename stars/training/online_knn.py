"""Monitors nearest neighbours among training clips during training. It uses no test clips and selects nothing."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import normalize

from stars.backbones.base import Backbone
from stars.backbones.clips import clip_features
from stars.data.device import sent
from stars.training.precision import arithmetic
from stars.views.crop import Clips, centre_view

COLUMN = "knn_top1"
MOST = 2000  # clips used, evenly spaced
BATCH = 64


def watch(encoder: Backbone, clips: Clips, every: int, precision: str) -> Callable[[int], dict[str, float]]:
    """A callback that measures the agreement in percent, as COLUMN, after each `every` epochs (0: never)."""

    def at_epoch(epochs: int) -> dict[str, float]:
        return {COLUMN: agreement(encoder, clips, precision)} if every and epochs % every == 0 else {}

    return at_epoch


def columns(every: int) -> tuple[str, ...]:
    """The curve's column for it, if enabled."""
    return (COLUMN,) if every else ()


@torch.no_grad()
def agreement(encoder: Backbone, clips: Clips, precision: str = "fp32") -> float:
    """Percent of up to MOST clips whose nearest neighbour among them, by cosine of centre crops, has the same
    action.
    """
    rows = torch.arange(len(clips))[:: -(-len(clips) // MOST)]
    with arithmetic(clips.device, precision):
        views = (centre_view(clips, part, encoder.frames) for part in rows.split(BATCH))
        features = [clip_features(encoder, view.x_bmtvc, known=view.bodies) for view in views]
    labels = clips.labels[sent(rows, clips.device)]
    return 100 * same_action(torch.cat(features).float(), labels).item()


def same_action(features_nc: Tensor, labels_n: Tensor) -> Tensor:
    """Share of rows whose nearest neighbour has the same label, a scalar."""
    unit_nc = normalize(features_nc, dim=1)
    cosine_nn = (unit_nc @ unit_nc.T).fill_diagonal_(-torch.inf)
    return (labels_n[cosine_nn.argmax(dim=1)] == labels_n).float().mean()
