"""The arithmetic of a job's matrix products: fp32, tf32, bf16, or the fastest that its device has units for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch

from stars.backbones.attention import MATRIX_UNITS
from stars.errors import InputError

TENSOR_CORES = (8, 0)  # compute capability from which a GPU has units for bf16 and tf32 (Ampere)
# Whether the CPU multiplies bf16 itself. A private name: where a version of torch lacks it, the units are taken to be absent.
BF16_UNITS: bool = MATRIX_UNITS or getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)()


def resolve(device: torch.device | str, precision: str) -> Literal["fp32", "tf32", "bf16"]:
    """The precision that a job computes in.

    `auto` is bf16 on GPUs with compute capability 8.0 or higher and on CPUs with AVX512-BF16 or AMX, and fp32 on all others, which
    emulate bf16 and are slower in it. It depends on the kind of machine alone, so that the same machine gives the same result twice.

    Raises:
        InputError: `tf32` on a device without it.
    """
    device = torch.device(device)
    tensor_cores = device.type == "cuda" and torch.cuda.get_device_capability(device) >= TENSOR_CORES
    if precision == "auto":
        return "bf16" if tensor_cores or (device.type == "cpu" and BF16_UNITS) else "fp32"
    if precision == "tf32" and not tensor_cores:
        raise InputError(
            f"precision: tf32 needs an NVIDIA GPU of compute capability 8.0 or higher, and this job runs on {device.type}: set fp32"
        )
    return precision  # type: ignore[return-value]


def arithmetic(device: torch.device, precision: str) -> torch.autocast:
    """The context that a forward pass runs in: 16-bit matrix products for bf16, else float32."""
    return torch.autocast(device.type, half(device), enabled=resolve(device, precision) == "bf16")


def half(device: torch.device) -> torch.dtype:
    """The 16-bit numbers that `bf16` stands for: fp16 on a GPU that has no bf16 of its own."""
    lacks = device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.float16 if lacks else torch.bfloat16


def scaler(device: torch.device, precision: str) -> torch.amp.GradScaler:
    """What keeps small gradients of fp16 from vanishing; with any other arithmetic it does nothing."""
    return torch.amp.GradScaler(device.type, enabled=resolve(device, precision) == "bf16" and half(device) is torch.float16)


@contextmanager
def float32_products(device: torch.device, precision: str) -> Iterator[None]:
    """Within it, backward passes included, a GPU multiplies float32 in TF32 for `tf32`, and exactly for all else.

    PyTorch's own defaults are exact matrix products (TF32 before version 1.12) and convolutions in TF32.
    """
    rounded = resolve(device, precision) == "tf32"
    products, convolutions = torch.backends.cuda.matmul, torch.backends.cudnn
    before = products.allow_tf32, convolutions.allow_tf32
    products.allow_tf32 = convolutions.allow_tf32 = rounded
    try:
        yield
    finally:
        products.allow_tf32, convolutions.allow_tf32 = before
