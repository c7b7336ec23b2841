"""ISC: two encoders for two representations of a clip, each contrasted with the other's keys (Thoker et al., ACM MM
2021, §3.2).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from stars.backbones.base import Backbone
from stars.config.base import Count, Settings, key
from stars.errors import InputError
from stars.objectives.base import Batch, Objective, Trains
from stars.objectives.cmd import SEQUENCE
from stars.objectives.contrast import Contrast, ContrastOptions, first_positive


class IscOptions(ContrastOptions):
    """ISC's settings."""

    queue: Count = key(16384, "keys kept from earlier steps, for each representation")


class Loss(Objective):
    """InfoNCE of each representation's queries with the other's keys and queue; the two losses are added.

    Metrics: mean cosine of the first representation's positives.
    """

    Options = IscOptions
    columns = ("positive_cosine",)
    networks: ClassVar = {"sequence": Trains("bi_gru", {"input_norm": False}), "graph": Trains("agcn")}
    views: ClassVar = {"query": SEQUENCE, "key": SEQUENCE}

    def __init__(self, networks: Mapping[str, Backbone], options: IscOptions, generator: torch.Generator) -> None:
        super().__init__(networks, options, generator)
        if len(networks) != 2:
            raise InputError(
                f"objective: isc contrasts two networks, found {', '.join(networks)}: name two under networks"
            )
        self.one, self.other = (Contrast(network, options, generator) for network in networks.values())
        self.names = tuple(networks)

    @classmethod
    def passes(cls, options: Settings) -> tuple[int, int]:
        return 1, 1

    def heads(self) -> nn.ModuleDict:
        return nn.ModuleDict({f"{name}_projector": contrast.projector for name, contrast in self._contrasts().items()})

    def _contrasts(self) -> dict[str, Contrast]:
        return dict(zip(self.names, (self.one, self.other), strict=True))

    def forward(self, batch: Batch, networks: Mapping[str, Backbone]) -> tuple[Tensor, dict[str, Tensor]]:
        queries, keys = [], []
        for name, contrast in self._contrasts().items():
            contrast.ema_update(networks[name])
            (y_bc,) = batch.features(networks[name], "query")
            queries.append(contrast.project(y_bc))
            keys.append(contrast.keys(batch, "key"))
        loss = first_positive(self.other.logits(queries[0], keys[1])) + first_positive(
            self.one.logits(queries[1], keys[0])
        )
        for contrast, keys_bd in zip((self.one, self.other), keys, strict=True):
            contrast.queue.update(keys_bd, batch.clips)
        return loss, {"positive_cosine": (queries[0].detach() * keys[1]).sum(1).mean()}

    def reset_copies(self, networks: Mapping[str, Backbone]) -> None:
        for name, contrast in self._contrasts().items():
            contrast.reset_copies(networks[name])
