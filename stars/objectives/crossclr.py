"""CrosSCLR: three streams that mine positives for each other (Li et al., CVPR 2021)."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import permutations
from typing import ClassVar

import torch
from torch import Tensor, nn

from stars.backbones.base import Backbone
from stars.config.base import Settings, key
from stars.objectives.base import Batch, Objective, Trains
from stars.objectives.contrast import Contrast, MiningOptions, first_positive, mined_positives
from stars.objectives.skeletonclr import NORMAL


class CrosSclrOptions(MiningOptions):
    """CrosSCLR's settings."""

    as_released: bool = key(
        False,
        "true, as in the released code: all streams share the first one's projector, the others behind a hidden layer,"
        " and while positives are mined, only the second stream's key network is updated; false, as in the paper:"
        " separate projectors, all key networks are updated",
    )


class Loss(Objective):
    """Momentum contrast of each stream; from `mining_epoch` on, for each ordered pair, the other stream's nearest keys
    are also positives. Metric: mean cosine of the first stream's positives."""

    Options = CrosSclrOptions
    columns = ("positive_cosine",)
    networks: ClassVar = {name: Trains("st_gcn", {"stream": name}) for name in ("joint", "motion", "bone")}
    views: ClassVar = {"query": NORMAL, "key": NORMAL}

    def __init__(self, networks: Mapping[str, Backbone], options: CrosSclrOptions, generator: torch.Generator) -> None:
        super().__init__(networks, options, generator)
        self.options, self.mining = options, False
        self.contrasts: dict[str, Contrast] = {}
        for name, network in networks.items():
            before = next(iter(self.contrasts.values()), None) if options.as_released else None
            self.contrasts[name] = Contrast(network, options, generator, before)
            self.add_module(name, self.contrasts[name])

    @classmethod
    def passes(cls, options: Settings) -> tuple[int, int]:
        return 1, 1

    def heads(self) -> nn.ModuleDict:
        shared = self.options.as_released
        return nn.ModuleDict(
            {
                f"{name}_projector": contrast.projector[0] if shared and number else contrast.projector
                for number, (name, contrast) in enumerate(self.contrasts.items())
            }
        )

    def before(self, networks: Mapping[str, Backbone], done: int, epoch: int) -> None:
        self.mining = epoch >= self.options.mining_epoch

    def forward(self, batch: Batch, networks: Mapping[str, Backbone]) -> tuple[Tensor, dict[str, Tensor]]:
        for number, (name, contrast) in enumerate(self.contrasts.items()):
            if not (self.options.as_released and self.mining) or number == 1:
                contrast.ema_update(networks[name])
        queries, keys = {}, {}
        for name, contrast in self.contrasts.items():
            (y_bc,) = batch.features(networks[name], "query")
            queries[name], keys[name] = contrast.project(y_bc), contrast.keys(batch, "key")
        losses = self._cross(queries, keys) if self.mining else self._apart(queries, keys)
        for name, contrast in self.contrasts.items():
            contrast.queue.update(keys[name], batch.clips)
        first = next(iter(queries))
        return torch.stack(losses).sum(), {"positive_cosine": (queries[first].detach() * keys[first]).sum(1).mean()}

    def _apart(self, queries: Mapping[str, Tensor], keys: Mapping[str, Tensor]) -> list[Tensor]:
        return [first_positive(contrast.logits(queries[name], keys[name])) for name, contrast in self.contrasts.items()]

    def _cross(self, queries: Mapping[str, Tensor], keys: Mapping[str, Tensor]) -> list[Tensor]:
        """One term per ordered pair; a stream's two are averaged."""
        similar = {name: contrast.similarities(queries[name]) for name, contrast in self.contrasts.items()}
        positive = {name: (queries[name] * keys[name]).sum(1, keepdim=True) for name in self.contrasts}
        terms = [
            self._pair(positive[own], similar[own], similar[other]) for own, other in permutations(self.contrasts, 2)
        ]
        return [term / (len(self.contrasts) - 1) for term in terms]

    def _pair(self, positive_b1: Tensor, mine_bk: Tensor, theirs_bk: Tensor) -> Tensor:
        """Loss of a stream with positives from another: its own logits plus products of both streams' similarities
        ("context").
        """
        logits = torch.cat([positive_b1, mine_bk, mine_bk * theirs_bk], 1) / self.options.temperature
        nearest_bk = torch.zeros_like(theirs_bk, dtype=torch.bool).scatter_(
            1, theirs_bk.topk(self.options.topk, dim=1).indices, True
        )
        return mined_positives(torch.cat([torch.ones_like(nearest_bk[:, :1]), nearest_bk, nearest_bk], 1), logits)

    def reset_copies(self, networks: Mapping[str, Backbone]) -> None:
        for name, contrast in self.contrasts.items():
            contrast.reset_copies(networks[name])
