"""Whether a training fits: what a step keeps for its backward pass is measured on a few bodies, and refused with the figure if it is too much."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from stars.errors import InputError

SAMPLES = (2, 4)  # bodies measured; what grows from one to the other grows with their number, the rest does not
PROC, CGROUPS = Path("/proc"), Path("/sys/fs/cgroup")
HIERARCHIES = {  # of control groups, version 2 and 1: folder, and the files with limit and use in bytes
    "": ("", "memory.max", "memory.current"),
    "memory": ("memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
}


def check_step(
    stage: str, model: nn.Module, forward: Callable[[int], object], sizes: Sequence[int], device: torch.device, moments: int = 2
) -> None:
    """InputError if one step does not fit.

    Args:
        forward: the pass over that many of this process's share that the backward pass needs the results of; it draws nothing, and what
            it changes of the model's buffers is undone.
        sizes: bodies encoded in the pass over SAMPLES[0], over SAMPLES[1] and over the whole share.
        moments: numbers that the optimiser keeps for each weight.

    Counted are the tensors that the backward pass needs, gradients and the optimiser's moments: the least that a step takes.
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
            f"{stage}: a step over {rows} bodies needs at least {needed / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free on {device.type}:"
            f" lower {stage}.optimiser.batch, set {stage}.precision: bf16, or share the batch among more gpus"
        )


def check_clips(stage: str, frames: int, bytes_a_frame: int) -> None:
    """InputError if that many frames of training clips do not fit into main memory."""
    needed, free = frames * bytes_a_frame, available(torch.device("cpu"))
    if needed > free:
        raise InputError(
            f"{stage}: its training clips take {needed / 1e9:.1f} GB of memory, and {free / 1e9:.1f} GB are free: ask for more"
        )


def kept_bytes(model: nn.Module, forward: Callable[[], object]) -> int:
    """Bytes of the tensors that autograd keeps in a forward pass, the model's own apart, each once."""
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        result = forward()  # held, so that no two kept tensors are seen at one address
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
    """What control groups (a scheduler's or a container's) leave: the least over this process's own and those around it."""
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
            int(line.split()[1]) for line in (group / "memory.stat").read_text().splitlines() if line.startswith("inactive_file ")
        )
        return int((group / limit).read_text()) - int((group / used).read_text()) + cached
    return float("inf")


@contextmanager
def exhaustion_named(stage: str) -> Iterator[None]:
    """Inside, a GPU whose memory is exhausted is an InputError with torch's own figure."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        figure = "".join(str(error).partition(" is free")[:2]).replace("\n", " ")
        raise InputError(
            f"{stage}: out of GPU memory ({figure}): lower {stage}.optimiser.batch, set {stage}.precision: bf16, or use more gpus"
        ) from None
