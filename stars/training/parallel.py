"""Several processes that train one model together, each on its share of every batch.

What makes N of them compute what one would: every process draws and crops the whole batch from the same generator, computes its
share of it, and returns a loss whose mean over the processes is the loss of the whole batch; gradients are averaged likewise. What needs
the whole batch (batch normalisation of the heads, negatives, queue) is computed by all alike, on features gathered from all.

A process alone is the first of one: nothing here then does anything.
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
    """Processes that were started to train together, as torchrun's environment says."""
    return int(os.environ.get("WORLD_SIZE", 1)) if "LOCAL_RANK" in os.environ else 1


def on_this_node() -> int:
    """Those of them that were started on this machine, each with a GPU of it."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", expected())) if "LOCAL_RANK" in os.environ else 1


@contextmanager
def group(device: str) -> Iterator[None]:
    """Join the others that were started with this one; on `cuda` each takes a GPU of its own. InputError where there are too few."""
    if expected() == 1:
        yield
        return
    if device == "cuda":
        seen, place = torch.cuda.device_count(), int(os.environ["LOCAL_RANK"])
        if seen < on_this_node():
            raise InputError(f"{on_this_node()} processes need a GPU each, but torch sees {seen}: ask for fewer, or for more GPUs")
        torch.cuda.set_device(place)
    distributed.init_process_group("cpu:gloo,cuda:nccl" if device == "cuda" else "gloo")
    yield
    distributed.destroy_process_group()  # not after an error: the others may be waiting for this one


def count() -> int:
    """Processes that train together."""
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
    """Number of this process, from 0; the first one writes and speaks for all."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def share(rows: int) -> slice:
    """This process's part of `rows` rows, the same for all to within one."""
    return slice(rows * rank() // count(), rows * (rank() + 1) // count())


def share_of_mean(loss: Tensor, rows: int) -> Tensor:
    """A mean over this process's share of `rows` rows, weighed so that the processes' mean of it is the mean over all rows."""
    own = share(rows)
    return loss * ((own.stop - own.start) * count() / rows)


def gather(rows_bc: Tensor) -> Tensor:
    """The rows (b, C) of all processes, (b · processes, C), in their order; b is the same for all.

    For what every process computes alike from the result. Each then has the whole gradient of its rows, and since gradients are averaged
    over the processes afterwards, it is multiplied by their number here.
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
    """Mean over the processes, on the device and without waiting for it."""
    if count() == 1:
        return value
    total = value.detach().clone()
    distributed.all_reduce(total)
    return total / count()


def anywhere(flag: bool) -> bool:
    """Whether any process says so: all leave at the same step. A word between the hosts, which no GPU waits for."""
    if count() == 1:
        return flag
    word = torch.tensor(int(flag))
    distributed.all_reduce(word, distributed.ReduceOp.MAX)
    return bool(word)


def from_first(value: Value) -> Value:
    """What the first process has, whatever the others hold."""
    if count() == 1:
        return value
    box = [value]
    distributed.broadcast_object_list(box, device=torch.device("cpu"))
    return box[0]


def averaging(model: nn.Module, loss: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """`loss`, whose backward pass averages the gradients of `model` over the processes while it goes; all start from the first's weights."""
    if count() == 1:
        return loss
    return DistributedDataParallel(_Loss(model, loss), gradient_as_bucket_view=True, static_graph=True)


class _Loss(nn.Module):
    """A loss as the module that has what is trained. Buffers are computed alike everywhere, so they are left out: they would be sent at each step."""

    def __init__(self, model: nn.Module, loss: Callable[..., Tensor]) -> None:
        super().__init__()
        self.trained = nn.ParameterList(parameter for parameter in model.parameters() if parameter.requires_grad)
        self.loss = loss

    def forward(self, *arguments: Any) -> Tensor:
        return self.loss(*arguments)
