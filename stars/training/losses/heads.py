"""New heads for a strategy: their sizes from its settings, their initial weights as the released code or PyTorch draws them."""

from __future__ import annotations

from torch import nn

from stars.config import Heads, PredictorHeads
from stars.model.heads import Predictor, Projector

SPREAD = 0.02  # standard deviation of initial weights, `heads_start: normal`


def projector_and_predictor(width: int, options: PredictorHeads) -> tuple[Projector, Predictor]:
    """Projector and predictor for features (B, width)."""
    projector = Projector(width, options.norm_clips)
    predictor = Predictor(width, options.predictor_hidden, options.predictor_bias, options.norm_clips)
    start(projector, options)
    start(predictor, options)
    return projector, predictor


def start(head: nn.Module, options: Heads) -> None:
    """Draw a head's weights again, unless they are to stay as PyTorch's layers start."""
    if options.heads_start == "pytorch":
        return
    for layer in head.modules():
        if isinstance(layer, nn.Linear | nn.BatchNorm1d):
            nn.init.normal_(layer.weight, mean=float(isinstance(layer, nn.BatchNorm1d)), std=SPREAD)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
