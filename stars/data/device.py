"""Asynchronous copies from main memory to a device."""

from __future__ import annotations

import torch
from torch import Tensor


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """Copy the tensor to `device`, to a GPU asynchronously from pinned memory, so that the next batch is prepared
    meanwhile.
    """
    if tensor.device == device:
        return tensor
    return (tensor.pin_memory() if device.type == "cuda" else tensor).to(device, non_blocking=True)
