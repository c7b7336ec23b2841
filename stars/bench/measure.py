"""Configurations that take turns, round by round, so that whatever else the machine does falls on all alike; medians
are compared.
"""

from __future__ import annotations

import ctypes
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from stars.training.precision import float32_products, half, resolve

SIZES = {"cpu": 2048, "cuda": 8192}  # of the square matrices whose product gauges a device
GAUGING = 1.0  # seconds spent on it at most, after the first product
MEMORY = Path("/proc/self")


@dataclass(frozen=True)
class Case:
    """One configuration.

    Attributes:
        group, name: configurations of a group are compared with its first.
        run: does the work of the round with this number.
        items: clips (or queries) a round.
        operations: floating-point operations that the method needs for them, whatever a configuration computes in vain;
            0: not counted.
        precision: of its matrix products, fp32, tf32 or bf16.
    """

    group: str
    name: str
    run: Callable[[int], object]
    items: int
    operations: float = 0.0
    precision: str = "fp32"


@dataclass(frozen=True)
class Measured:
    """A case with its median seconds a round, those of its group's first case, and the most memory that a round took
    beyond what was held (bytes).
    """

    case: Case
    seconds: float
    baseline: float
    memory: float | None


def measure(cases: Iterable[Case], rounds: int, device: str) -> list[Measured]:
    """Every case once to warm up, once for its memory, then `rounds` rounds of all in turn."""
    cases = list(cases)
    memory = [(case.run(0), peak_memory(partial(case.run, 1), device))[1] for case in cases]
    times: list[list[float]] = [[] for _ in cases]
    for number in range(2, rounds + 2):
        for case, taken in zip(cases, times, strict=True):
            taken.append(seconds(partial(case.run, number), device))
    medians = [statistics.median(taken) for taken in times]
    first = {case.group: median for case, median in reversed(list(zip(cases, medians, strict=True)))}
    return [
        Measured(case, median, first[case.group], peak)
        for case, median, peak in zip(cases, medians, memory, strict=True)
    ]


def seconds(work: Callable[[], object], device: str) -> float:
    """Time of `work`, the device's included."""
    began = time.perf_counter()
    work()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began


def peak_memory(work: Callable[[], object], device: str) -> float | None:
    """Most bytes that `work` held beyond what was held before: allocated on a GPU, resident on Linux, None
    elsewhere.
    """
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        held = torch.cuda.memory_allocated()
        work()
        return torch.cuda.max_memory_allocated() - held
    try:
        # what earlier cases freed goes back to the system, so that it is not taken for free
        ctypes.CDLL(None).malloc_trim(0)
        (MEMORY / "clear_refs").write_text("5")  # from now on the peak counts anew (Linux, proc(5))
        before = _resident("VmRSS")
        work()
        return max(0.0, _resident("VmHWM") - before)
    except (OSError, AttributeError):
        return None


def _resident(entry: str) -> float:
    (line,) = [line for line in (MEMORY / "status").read_text().splitlines() if line.startswith(entry)]
    return 1024.0 * int(line.split()[1])


def precisions(device: str) -> tuple[str, ...]:
    """Those that are compared: bf16 wherever it runs, tf32 on GPUs that have it."""
    return ("bf16", "tf32", "fp32") if device == "cuda" and resolve(device, "auto") == "bf16" else ("bf16", "fp32")


def product_rate(device: str, precision: str) -> float:
    """Floating-point operations a second of a large square matrix product: what this machine could do at best."""
    size = SIZES[device]
    a, b = torch.randn(2, size, size, device=device)
    taken: list[float] = []
    with float32_products(torch.device(device), precision):
        if precision == "bf16":
            a, b = a.to(half(a.device)), b.to(half(a.device))
        seconds(lambda: a @ b, device)
        while not taken or sum(taken) < GAUGING:
            taken.append(seconds(lambda: a @ b, device))
    return 2 * size**3 / min(taken)
