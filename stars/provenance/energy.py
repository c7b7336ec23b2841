"""Energy used by GPUs, as counted by their driver (NVML, nvmlDeviceGetTotalEnergyConsumption): of the whole device,
with all processes.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator, Mapping
from typing import Any

LIBRARY = "libnvidia-ml.so.1"
UUID_BYTES = 96


def counters() -> dict[str, float]:
    """UUID of each GPU with a counter → joules since its driver was loaded; empty without an NVIDIA driver. Starts
    no CUDA context.
    """
    try:
        nvml = ctypes.CDLL(LIBRARY)
        if nvml.nvmlInit_v2():
            return {}
        try:
            return dict(_read(nvml))
        finally:
            nvml.nvmlShutdown()
    except (OSError, AttributeError):  # no such library, or one without this counter
        return {}


def _read(nvml: Any) -> Iterator[tuple[str, float]]:
    count = ctypes.c_uint()
    nvml.nvmlDeviceGetCount_v2(ctypes.byref(count))
    for index in range(count.value):
        device, uuid, millijoules = ctypes.c_void_p(), ctypes.create_string_buffer(UUID_BYTES), ctypes.c_ulonglong()
        if (
            nvml.nvmlDeviceGetHandleByIndex_v2(index, ctypes.byref(device)) == 0
            and nvml.nvmlDeviceGetUUID(device, uuid, UUID_BYTES) == 0
            and nvml.nvmlDeviceGetTotalEnergyConsumption(device, ctypes.byref(millijoules)) == 0
        ):
            yield uuid.value.decode(), millijoules.value / 1000


def used_since(before: Mapping[str, float]) -> float | None:
    """Joules that this process's GPUs used since `before`; in a shared training, summed over all processes.

    None without a GPU or counter, and for trainings on several nodes, whose GPUs this process cannot read.
    """
    torch = sys.modules.get("torch")
    if torch is None or not before or not torch.cuda.is_initialized():
        return None
    shared = torch.distributed.is_available() and torch.distributed.is_initialized()
    processes = torch.distributed.get_world_size() if shared else 1
    if processes > int(os.environ.get("LOCAL_WORLD_SIZE", processes)):
        return None
    numbers = range(processes) if shared else [torch.cuda.current_device()]
    after = counters()
    own = [f"GPU-{torch.cuda.get_device_properties(number).uuid}" for number in numbers]
    return (
        round(sum(after[name] - before[name] for name in own), 1)
        if all(name in before and name in after for name in own)
        else None
    )
