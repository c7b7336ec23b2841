"""Networks and their objective as one module, and which of their parts are trained."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import nn

from stars.backbones.base import Backbone
from stars.errors import InputError
from stars.objectives.base import Objective

Parts = list[tuple[nn.Module, float]]


class Trained(nn.Module):
    """Networks and their objective.

    Args:
        parts: what of the networks is trained, with factors of the learning rate; the rest gets no gradient.
        objective: made once that is decided, since it may copy the networks.
    """

    def __init__(self, networks: Mapping[str, Backbone], parts: Parts, objective: Callable[[], Objective]) -> None:
        super().__init__()
        self.networks = nn.ModuleDict(networks).requires_grad_(False)
        for module, _ in parts:
            module.requires_grad_(True)
        self._parts = parts
        self.objective = objective()
        self._check_heads()

    def _check_heads(self) -> None:
        """InputError for a part of the objective that wants training and is not among its heads."""
        trained = {id(parameter) for module in (self.networks, *self.objective.heads().values()) for parameter in module.parameters()}
        for name, parameter in self.objective.named_parameters():
            if parameter.requires_grad and id(parameter) not in trained:
                raise InputError(f"objective: nothing trains its {name}: return the module from heads, or set its requires_grad to False")

    @property
    def drops(self) -> bool:
        """Whether anything in networks or objective draws what it drops."""
        return any(isinstance(module, nn.modules.dropout._DropoutNd) and module.p > 0 for module in self.modules())

    def train(self, mode: bool = True) -> Trained:
        """As every module, but what is frozen of the networks stays in evaluation mode: its statistics do not move, and it drops nothing."""
        super().train(mode)
        for network in self.networks.values():
            _rest(network)
        return self

    @property
    def by_name(self) -> dict[str, Backbone]:
        """The networks."""
        return dict(self.networks.items())  # type: ignore[arg-type]

    def parts(self) -> Parts:
        """All that is trained, with factors of the learning rate."""
        return [*self._parts, *((head, 1.0) for head in self.objective.heads().values())]

    def result(self) -> dict[str, Backbone]:
        """The networks that the training is for."""
        return dict(self.objective.result(self.by_name))


def _rest(module: nn.Module) -> None:
    """Put what has parameters and trains none of them into evaluation mode."""
    trains = [parameter.requires_grad for parameter in module.parameters()]
    if trains and not any(trains):
        module.eval()
    for child in module.children():
        _rest(child)


def tuned_parts(network: Backbone, factors: list[float], stem: float = 0.0) -> Parts:
    """What of a network is trained, with factors of the learning rate: blocks whose factor is above 0, with any of them what follows the
    blocks, at the full rate; and what comes before them, if `stem` is above 0.
    """
    layers = network.layers()
    blocks = [(block, factor) for block, factor in zip(layers.blocks, factors, strict=True) if factor > 0]
    below = [(module, stem) for module in layers.stem if stem > 0]
    return [*below, *blocks, *((module, 1.0) for module in layers.top)] if blocks else []


def all_parts(networks: Mapping[str, Backbone]) -> Parts:
    """Every network as a whole, at the full rate."""
    return [(network, 1.0) for network in networks.values()]
