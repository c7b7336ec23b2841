"""AdamW over parts of a model, each with its own share of the learning rate, and the precision they are computed in."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from stars.config import Optimiser
from stars.model.initialise import decayed


def adamw(parts: Iterable[tuple[nn.Module, float]], settings: Optimiser) -> torch.optim.AdamW:
    """AdamW with two groups a part (module, factor of the learning rate): matrices with weight decay, the rest without.

    Parameters that need no gradient are left out. The factor stands in each group's `scale`.
    """
    groups: list[dict[str, Any]] = []
    for module, scale in parts:
        trained = {name: parameter for name, parameter in module.named_parameters() if parameter.requires_grad}
        matrices = decayed(module) & trained.keys()
        for weight_decay, names in ((settings.weight_decay, matrices), (0.0, trained.keys() - matrices)):
            chosen = [parameter for name, parameter in trained.items() if name in names]
            groups.append({"params": chosen, "weight_decay": weight_decay, "scale": scale})
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=settings.lr, betas=settings.betas, fused=True)


def arithmetic(device: torch.device, precision: str) -> torch.autocast:
    """The context a forward pass runs in: fp32 as it is, or bf16 matrix products."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")
