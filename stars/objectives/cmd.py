"""CMD: three streams that distil their similarities between clips into each other (Mao et al., ECCV 2022)."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import permutations
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import kl_div

from stars.backbones.base import Backbone
from stars.config.base import Count, Positive, Settings, key
from stars.objectives.base import Batch, Objective, Trains
from stars.objectives.contrast import Contrast, ContrastOptions, first_positive

SEQUENCE: list[object] = [
    {"crop": {"share": [0.1, 1.0], "min_frames": 64}},
    {"either": [[{"shear": {"amplitude": 1.0}}], ["corrupt"]]},
]


class CmdOptions(ContrastOptions):
    """CMD's settings."""

    queue: Count = key(16384, "keys kept from earlier steps")
    teacher_temperature: Positive = key(0.05, "temperature of the teacher stream's similarities")
    student_temperature: Positive = key(0.1, "temperature of the student stream's similarities")
    topk: Count = key(8192, "entries of the queue most similar for the teacher, which are distilled; at most all")


class Loss(Objective):
    """Momentum contrast of each stream, and distillation of similarities for each ordered pair. Metrics: mean cosine of
    the first stream's positives; sum of the distillation losses."""

    Options = CmdOptions
    columns: ClassVar[tuple[str, ...]] = ("positive_cosine", "distillation")
    networks: ClassVar = {name: Trains("bi_gru", {"stream": name}) for name in ("joint", "motion", "bone")}
    views: ClassVar = {"query": SEQUENCE, "key": SEQUENCE}

    def __init__(self, networks: Mapping[str, Backbone], options: CmdOptions, generator: torch.Generator) -> None:
        super().__init__(networks, options, generator)
        self.options = options
        self.contrasts: dict[str, Contrast] = {}
        for name, network in networks.items():
            self.contrasts[name] = Contrast(network, options, generator)
            self.add_module(name, self.contrasts[name])

    @classmethod
    def passes(cls, options: Settings) -> tuple[int, int]:
        return 1, 1

    def heads(self) -> nn.ModuleDict:
        return nn.ModuleDict({f"{name}_projector": contrast.projector for name, contrast in self.contrasts.items()})

    def forward(self, batch: Batch, networks: Mapping[str, Backbone]) -> tuple[Tensor, dict[str, Tensor]]:
        queries, keys = self.encoded(batch, networks)
        loss, facts = self.compared(queries, keys)
        self.remember(keys, batch)
        return loss, facts

    def encoded(self, batch: Batch, networks: Mapping[str, Backbone]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Queries and keys (B, D) of each stream, after the update of its key network."""
        queries, keys = {}, {}
        for name, contrast in self.contrasts.items():
            contrast.ema_update(networks[name])
            (y_bc,) = batch.features(networks[name], "query")
            queries[name], keys[name] = contrast.project(y_bc), contrast.keys(batch, "key")
        return queries, keys

    def compared(self, queries: Mapping[str, Tensor], keys: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss and its metrics with the current queues."""
        contrasts = [
            first_positive(contrast.logits(queries[name], keys[name])) for name, contrast in self.contrasts.items()
        ]
        distilled = torch.stack(self._distilled(queries, keys)).sum()
        first = next(iter(queries))
        cosine = (queries[first].detach() * keys[first]).sum(1).mean()
        return torch.stack(contrasts).sum() + distilled, {"positive_cosine": cosine, "distillation": distilled.detach()}

    def remember(self, keys: Mapping[str, Tensor], batch: Batch) -> None:
        """Add each stream's keys to its queue."""
        for name, contrast in self.contrasts.items():
            contrast.queue.update(keys[name], batch.clips)

    def _distilled(self, queries: Mapping[str, Tensor], keys: Mapping[str, Tensor]) -> list[Tensor]:
        """One term per ordered pair. The queues advance together, so an index is the same clip in each."""
        options = self.options
        taught, learnt = {}, {name: contrast.similarities(queries[name]) for name, contrast in self.contrasts.items()}
        for name, contrast in self.contrasts.items():
            values_bk, places_bk = contrast.similarities(keys[name]).topk(min(options.topk, options.queue), dim=1)
            taught[name] = (values_bk / options.teacher_temperature).softmax(1), places_bk
        return [
            distillation(*taught[one], learnt[other], options.student_temperature)
            for one, other in permutations(taught, 2)
        ]

    def reset_copies(self, networks: Mapping[str, Backbone]) -> None:
        for name, contrast in self.contrasts.items():
            contrast.reset_copies(networks[name])


def distillation(p_teacher_bk: Tensor, places_bk: Tensor, similar_bq: Tensor, temperature: float) -> Tensor:
    """KL(teacher ‖ student), mean over the batch (CMD's Eq. 6).

    Args:
        p_teacher_bk: distribution over the indices (B, k) of the queue; similar_bq: the student's similarities to all
            entries of its queue.
    """
    return kl_div((similar_bq.gather(1, places_bk) / temperature).log_softmax(1), p_teacher_bk, reduction="batchmean")
