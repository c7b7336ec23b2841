"""AdamW, Adam or SGD over parts of a model, each with its factor of the learning rate."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from stars.backbones.initialise import decayed
from stars.config import Optimiser, TrainOptimiser, TuneOptimiser

SMALLEST_NORM = 1e-6  # added to a gradient's norm, as the released code and PyTorch do


def optimiser_of(parts: Iterable[tuple[nn.Module, float]], settings: Optimiser) -> torch.optim.Optimizer:
    """The optimiser of the settings; default AdamW."""
    if isinstance(settings, TrainOptimiser) and settings.kind == "sgd":
        return torch.optim.SGD(_groups(parts, settings), lr=settings.lr, momentum=settings.momentum)
    adam = torch.optim.Adam if isinstance(settings, TrainOptimiser) and settings.kind == "adam" else torch.optim.AdamW
    return adam(_groups(parts, settings), lr=settings.lr, betas=settings.betas, fused=True)


def _groups(parts: Iterable[tuple[nn.Module, float]], settings: Optimiser) -> list[dict[str, Any]]:
    """Two groups per part (module, factor of the learning rate): tensors with and without weight decay.

    Weight decay applies to matrices, or to every tensor if `decayed` is `all`. Frozen parameters are omitted. Each
    group stores its factor as `scale`.
    """
    groups: list[dict[str, Any]] = []
    for module, scale in parts:
        trained = {name: parameter for name, parameter in module.named_parameters() if parameter.requires_grad}
        every = isinstance(settings, TuneOptimiser) and settings.decayed == "all"
        shrunk = trained.keys() if every else decayed(module) & trained.keys()
        for weight_decay, names in ((settings.weight_decay, shrunk), (0.0, trained.keys() - shrunk)):
            chosen = [parameter for name, parameter in trained.items() if name in names]
            groups.append({"params": chosen, "weight_decay": weight_decay, "scale": scale})
    return [group for group in groups if group["params"]]


def clip_gradients(model: nn.Module, settings: Optimiser) -> None:
    """Clip gradients in place to L2 norm `clip_norm`: per tensor, globally, or not at all. Does not synchronise with
    the GPU.
    """
    if not isinstance(settings, TuneOptimiser) or settings.clip == "none":
        return
    gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    norms = list(torch._foreach_norm(gradients))
    if settings.clip == "whole":
        norms = [torch.stack(norms).norm()] * len(gradients)
    torch._foreach_mul_(gradients, [(settings.clip_norm / (norm + SMALLEST_NORM)).clamp(max=1) for norm in norms])
