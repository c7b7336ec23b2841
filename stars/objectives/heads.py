"""The two heads of stage 2, projector g_θ and predictor (paper §3.3, §4.2), and their initialisation."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from stars.config import Heads, PredictorHeads

SPREAD = 0.02  # standard deviation of initial weights, `heads_start: normal`


class BatchNorm(nn.BatchNorm1d):
    """BatchNorm over a whole batch (B, C), or in training separately over groups of at least `clips` rows."""

    def __init__(self, width: int, clips: int | None = None):
        super().__init__(width)
        self.clips = clips

    def forward(self, x_bc: Tensor) -> Tensor:
        groups = len(x_bc) // self.clips if self.clips and self.training else 1
        return (
            super().forward(x_bc)
            if groups <= 1
            else torch.cat([super(BatchNorm, self).forward(x) for x in x_bc.tensor_split(groups)])
        )


class Projector(BatchNorm):
    """z = BatchNorm(y): (B, C) → (B, C)."""


class Predictor(nn.Module):
    """Linear – BatchNorm – ReLU – Linear: z (B, C) → z⁺ (B, C). The released code's first layer has no bias."""

    def __init__(self, width: int, hidden: int, bias: bool = True, norm_clips: int | None = None):
        super().__init__()
        self.widen = nn.Linear(width, hidden, bias=bias)
        self.norm = BatchNorm(hidden, norm_clips)
        self.narrow = nn.Linear(hidden, width)

    def forward(self, z_bc: Tensor) -> Tensor:
        return self.narrow(self.norm(self.widen(z_bc)).relu())


def projector_and_predictor(width: int, options: PredictorHeads) -> tuple[Projector, Predictor]:
    """New projector and predictor for features (B, width)."""
    projector = Projector(width, options.norm_clips)
    predictor = Predictor(width, options.predictor_hidden, options.predictor_bias, options.norm_clips)
    start(projector, options)
    start(predictor, options)
    return projector, predictor


def start(head: nn.Module, options: Heads) -> None:
    """Initialise a head's weights, unless PyTorch's default is configured."""
    if options.heads_start == "pytorch":
        return
    for layer in head.modules():
        if isinstance(layer, nn.Linear | nn.BatchNorm1d):
            nn.init.normal_(layer.weight, mean=float(isinstance(layer, nn.BatchNorm1d)), std=SPREAD)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
