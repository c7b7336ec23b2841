"""Networks and their objective as one module, and the parts that are trained."""

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
        parts: trained parts of the networks, with factors of the learning rate; the rest is frozen.
        objective: called after freezing, since it may copy the networks.
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
        """InputError for parameters of the objective that require gradients but are not among its heads."""
        trained = {
            id(parameter)
            for module in (self.networks, *self.objective.heads().values())
            for parameter in module.parameters()
        }
        for name, parameter in self.objective.named_parameters():
            if parameter.requires_grad and id(parameter) not in trained:
                raise InputError(
                    f"objective: nothing trains its {name}: return the module from heads, or set its requires_grad to"
                    " False"
                )

    @property
    def drops(self) -> bool:
        """Whether the networks or the objective use dropout."""
        return any(isinstance(module, nn.modules.dropout._DropoutNd) and module.p > 0 for module in self.modules())

    def train(self, mode: bool = True) -> Trained:
        """Set the mode; frozen parts stay in evaluation mode, without dropout or updates of statistics."""
        super().train(mode)
        for network in self.networks.values():
            _rest(network)
        return self

    @property
    def by_name(self) -> dict[str, Backbone]:
        """The networks by name."""
        return dict(self.networks.items())  # type: ignore[arg-type]

    def parts(self) -> Parts:
        """Trained parts, with factors of the learning rate."""
        return [*self._parts, *((head, 1.0) for head in self.objective.heads().values())]

    def result(self) -> dict[str, Backbone]:
        """The networks to save."""
        return dict(self.objective.result(self.by_name))


def _rest(module: nn.Module) -> None:
    """Put modules whose parameters are all frozen into evaluation mode."""
    trains = [parameter.requires_grad for parameter in module.parameters()]
    if trains and not any(trains):
        module.eval()
    for child in module.children():
        _rest(child)


def tuned_parts(network: Backbone, factors: list[float], stem: float = 0.0) -> Parts:
    """Trained parts of a network, with factors of the learning rate: blocks with a factor above 0; if there are any,
    the layers after the blocks with factor 1; and the layers before them, if `stem` is above 0.
    """
    layers = network.layers()
    blocks = [(block, factor) for block, factor in zip(layers.blocks, factors, strict=True) if factor > 0]
    below = [(module, stem) for module in layers.stem if stem > 0]
    return [*below, *blocks, *((module, 1.0) for module in layers.top)] if blocks else []


def all_parts(networks: Mapping[str, Backbone]) -> Parts:
    """All networks as a whole, with factor 1."""
    return [(network, 1.0) for network in networks.values()]
