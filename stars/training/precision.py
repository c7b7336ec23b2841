"""Precision of matrix products: fp32, tf32, bf16, or the fastest with hardware support."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch

from stars.backbones.attention import MATRIX_UNITS
from stars.errors import InputError

TENSOR_CORES = (8, 0)  # smallest compute capability with bf16 and tf32 units (Ampere)
# Whether the CPU supports bf16 products. A private function: if torch lacks it, support is assumed absent.
BF16_UNITS: bool = MATRIX_UNITS or getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)()


def resolve(device: torch.device | str, precision: str) -> Literal["fp32", "tf32", "bf16"]:
    """Resolve the precision of a job.

    `auto` is bf16 on GPUs with compute capability 8.0 or higher and on CPUs with AVX512-BF16 or AMX, and fp32 on all
    others, which emulate bf16 more slowly. It depends only on the hardware, so the same machine reproduces a result.

    Raises:
        InputError: `tf32` on a device without it.
    """
    device = torch.device(device)
    tensor_cores = device.type == "cuda" and torch.cuda.get_device_capability(device) >= TENSOR_CORES
    if precision == "auto":
        return "bf16" if tensor_cores or (device.type == "cpu" and BF16_UNITS) else "fp32"
    if precision == "tf32" and not tensor_cores:
        raise InputError(
            "precision: tf32 needs an NVIDIA GPU of compute capability 8.0 or higher, and this job runs on"
            f" {device.type}: set fp32"
        )
    return precision  # type: ignore[return-value]


def arithmetic(device: torch.device, precision: str) -> torch.autocast:
    """Autocast context of a forward pass: 16-bit matrix products for bf16, otherwise float32."""
    return torch.autocast(device.type, half(device), enabled=resolve(device, precision) == "bf16")


def half(device: torch.device) -> torch.dtype:
    """The 16-bit dtype for `bf16`: fp16 on GPUs without bf16 support."""
    lacks = device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.float16 if lacks else torch.bfloat16


def scaler(device: torch.device, precision: str) -> torch.amp.GradScaler:
    """Gradient scaler for fp16; disabled for any other precision."""
    return torch.amp.GradScaler(
        device.type, enabled=resolve(device, precision) == "bf16" and half(device) is torch.float16
    )


@contextmanager
def float32_products(device: torch.device, precision: str) -> Iterator[None]:
    """Within it, including backward passes, GPUs multiply float32 in TF32 for `tf32`, otherwise in full precision.

    PyTorch's defaults are full-precision matrix products (TF32 before version 1.12) and TF32 convolutions.
    """
    rounded = resolve(device, precision) == "tf32"
    products, convolutions = torch.backends.cuda.matmul, torch.backends.cudnn
    before = products.allow_tf32, convolutions.allow_tf32
    products.allow_tf32 = convolutions.allow_tf32 = rounded
    try:
        yield
    finally:
        products.allow_tf32, convolutions.allow_tf32 = before
