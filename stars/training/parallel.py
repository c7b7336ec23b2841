"""Data-parallel training: several processes train one model, each on its share of every batch.

The result equals that of one process: every process samples and crops the whole batch with the same generator, computes
its share, and returns a loss whose mean over the processes is the loss of the whole batch; gradients are averaged
likewise. Operations on the whole batch (batch normalisation of the heads, negatives, queue) run in all processes, on
gathered features.

With a single process, these functions do nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from stars.errors import InputError

Value = TypeVar("Value")


def expected() -> int:
    """Number of processes started together, from torchrun's environment."""
    return int(os.environ.get("WORLD_SIZE", 1)) if "LOCAL_RANK" in os.environ else 1


def on_this_node() -> int:
    """Those of them that were started on this machine, each with a GPU of it."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", expected())) if "LOCAL_RANK" in os.environ else 1


@contextmanager
def group(device: str) -> Iterator[None]:
    """Join the process group; on `cuda`, each process uses its own GPU. InputError if there are too few."""
    if expected() == 1:
        yield
        return
    if device == "cuda":
        seen, place = torch.cuda.device_count(), int(os.environ["LOCAL_RANK"])
        if seen < (needed := on_this_node()):
            raise InputError(
                f"{needed} processes need a GPU each, but torch sees {seen}: request fewer processes or more GPUs"
            )
        torch.cuda.set_device(place)
    distributed.init_process_group("cpu:gloo,cuda:nccl" if device == "cuda" else "gloo")
    yield
    distributed.destroy_process_group()  # not after an error: other processes may be waiting for this one


def count() -> int:
    """Number of processes that train together."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def nodes() -> int:
    """Machines that they run on, the same number on each."""
    return count() // on_this_node() if distributed.is_initialized() else 1


def of_nodes(value: Value) -> list[Value]:
    """What the first process of each node has."""
    if nodes() == 1:
        return [value]
    found: list[Value] = [value] * count()
    distributed.all_gather_object(found, value)
    return found[:: on_this_node()]


def rank() -> int:
    """Rank of this process, from 0; only rank 0 writes files and messages."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def share(rows: int) -> slice:
    """This process's share of `rows` rows; shares differ by at most one."""
    return slice(rows * rank() // count(), rows * (rank() + 1) // count())


def share_of_mean(loss: Tensor, rows: int) -> Tensor:
    """Weight a mean over this process's share so that its mean over processes is the mean over all `rows` rows."""
    own = share(rows)
    return loss * ((own.stop - own.start) * count() / rows)


def gather(rows_bc: Tensor) -> Tensor:
    """Gather rows (b, C) from all processes in order, (b · processes, C); b is the same for all.

    All processes must compute the same from the result. Each then has the full gradient of its rows, which is
    multiplied by the number of processes here, since gradients are averaged over them afterwards.
    """
    return rows_bc if count() == 1 else _Gather.apply(rows_bc)


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, rows_bc: Tensor) -> Tensor:
        parts = [torch.empty_like(rows_bc) for _ in range(count())]
        distributed.all_gather(parts, rows_bc.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> Tensor:
        return gradients[0][share(len(gradients[0]))] * count()


def mean(value: Tensor) -> Tensor:
    """Mean over the processes, on the device and without synchronising."""
    if count() == 1:
        return value
    total = value.detach().clone()
    distributed.all_reduce(total)
    return total / count()


def anywhere(flag: bool) -> bool:
    """Whether the flag is set in any process, so that all stop at the same step. Uses host communication only."""
    if count() == 1:
        return flag
    word = torch.tensor(int(flag))
    distributed.all_reduce(word, distributed.ReduceOp.MAX)
    return bool(word)


def from_first(value: Value) -> Value:
    """The first process's value, broadcast to all."""
    if count() == 1:
        return value
    box = [value]
    distributed.broadcast_object_list(box, device=torch.device("cpu"))
    return box[0]


def averaging(model: nn.Module, loss: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Wrap `loss` so that its backward pass averages the gradients of `model` over the processes; all start with the
    first's weights.
    """
    if count() == 1:
        return loss
    return DistributedDataParallel(_Loss(model, loss), gradient_as_bucket_view=True, static_graph=True)


class _Loss(nn.Module):
    """A loss as a module with the trained parameters. It excludes buffers, which are equal in all processes and need
    no broadcast.
    """

    def __init__(self, model: nn.Module, loss: Callable[..., Tensor]) -> None:
        super().__init__()
        self.trained = nn.ParameterList(parameter for parameter in model.parameters() if parameter.requires_grad)
        self.loss = loss

    def forward(self, *arguments: Any) -> Tensor:
        return self.loss(*arguments)
