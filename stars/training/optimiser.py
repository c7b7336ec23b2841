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
    """The context a forward pass runs in: fp32 as it is, or matrix products in 16 bits."""
    return torch.autocast(device.type, half(device), enabled=precision == "bf16")


def half(device: torch.device) -> torch.dtype:
    """The 16-bit numbers that `bf16` stands for: fp16 on a GPU that has no bf16 of its own."""
    lacks = device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.float16 if lacks else torch.bfloat16


def scaler(device: torch.device, precision: str) -> torch.amp.GradScaler:
    """What keeps small gradients of fp16 from vanishing; with any other arithmetic it does nothing."""
    return torch.amp.GradScaler(device.type, enabled=precision == "bf16" and half(device) is torch.float16)
