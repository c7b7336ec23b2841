"""Checks that a training step fits into memory, by measuring the tensors kept for the backward pass on a few bodies."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from stars.errors import InputError

SAMPLES = (2, 4)  # numbers of bodies measured, to separate fixed memory from memory per body
PROC, CGROUPS = Path("/proc"), Path("/sys/fs/cgroup")
HIERARCHIES = {  # control groups, versions 2 and 1: folder, and files with limit and use in bytes
    "": ("", "memory.max", "memory.current"),
    "memory": ("memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
}


def check_step(
    stage: str,
    model: nn.Module,
    forward: Callable[[int], object],
    sizes: Sequence[int],
    device: torch.device,
    moments: int = 2,
) -> None:
    """InputError if one step does not fit into memory.

    Args:
        forward: a forward pass with gradients over that many clips of this process's share, without randomness; changes
            to the model's buffers are undone.
        sizes: bodies encoded in the pass over SAMPLES[0], over SAMPLES[1] and over the whole share.
        moments: numbers that the optimiser stores per weight.

    It counts the tensors for the backward pass, gradients and the optimiser's moments: a lower bound of a step's
    memory.
    """
    small, more, rows = sizes
    if rows <= more:
        return
    with _unchanged(model):
        kept = [kept_bytes(model, partial(forward, sample)) for sample in SAMPLES]
    step = kept[0] + (kept[1] - kept[0]) / (more - small) * (rows - small)
    trained = (1 + moments) * sum(parameter.nbytes for parameter in model.parameters() if parameter.requires_grad)
    needed, free = step + trained, available(device)
    if needed > free:
        raise InputError(
            f"{stage}: a step over {rows} bodies needs at least {needed / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free"
            f" on {device.type}: lower {stage}.optimiser.batch, set {stage}.precision: bf16, or share the batch among"
            " more gpus"
        )


def check_clips(stage: str, frames: int, bytes_a_frame: int) -> None:
    """InputError if this many frames of training clips do not fit into main memory."""
    needed, free = frames * bytes_a_frame, available(torch.device("cpu"))
    if needed > free:
        raise InputError(
            f"{stage}: its training clips take {needed / 1e9:.1f} GB of memory, and {free / 1e9:.1f} GB are free:"
            " request more memory"
        )


def kept_bytes(model: nn.Module, forward: Callable[[], object]) -> int:
    """Bytes of the tensors that autograd keeps in a forward pass, each counted once, without the model's own."""
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        result = forward()  # keep a reference, so that no two tensors share an address
    own = {tensor.untyped_storage().data_ptr() for tensor in model.state_dict().values()}
    del result
    return sum(size for place, size in kept.items() if place not in own)


@contextmanager
def _unchanged(model: nn.Module) -> Iterator[None]:
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    try:
        yield
    finally:
        for name, buffer in model.named_buffers():
            buffer.copy_(before[name])


def available(device: torch.device) -> float:
    """Bytes that can still be allocated: on a GPU, or in main memory within the limits set for this process."""
    if device.type == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + unused
    return min(_of_machine(), _of_group())


def _of_machine() -> float:
    with suppress(OSError, StopIteration):
        lines = (PROC / "meminfo").read_text().splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    return float("inf")


def _of_group() -> float:
    """Memory left by control groups (a scheduler's or a container's): the minimum over this process's group and its
    parents.
    """
    left = float("inf")
    with suppress(OSError):
        for line in (PROC / "self/cgroup").read_text().splitlines():
            _, kinds, path = line.split(":", 2)
            if kinds in HIERARCHIES:
                root, limit, used = HIERARCHIES[kinds]
                place = CGROUPS / root / path.lstrip("/")
                left = min(left, *(_of_one(group, limit, used) for group in (place, *place.parents)))
    return left


def _of_one(group: Path, limit: str, used: str) -> float:
    with suppress(OSError, ValueError, StopIteration):
        cached = next(
            int(line.split()[1])
            for line in (group / "memory.stat").read_text().splitlines()
            if line.startswith("inactive_file ")
        )
        return int((group / limit).read_text()) - int((group / used).read_text()) + cached
    return float("inf")


@contextmanager
def exhaustion_named(stage: str) -> Iterator[None]:
    """Within it, running out of GPU memory raises an InputError with torch's figure."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        figure = "".join(str(error).partition(" is free")[:2]).replace("\n", " ")
        raise InputError(
            f"{stage}: out of GPU memory ({figure}): lower {stage}.optimiser.batch, set {stage}.precision: bf16, or use"
            " more gpus"
        ) from None
