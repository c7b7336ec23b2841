"""Momentum contrast (paper §4.4, Table 8; He et al., CVPR 2020): a clip's two views among the keys of earlier clips."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from stars.backbones.base import Backbone
from stars.config import Moco, Sampling, Settings
from stars.objectives.base import Batch, Objective
from stars.objectives.heads import projector_and_predictor, start
from stars.objectives.queue import Queue
from stars.objectives.teacher import Teacher


def moco_loss(queries_bc: Tensor, keys_bc: Tensor, queue_qc: Tensor, temperature: float) -> Tensor:
    """MoCo's Eq. 1, mean over the batch: −log of exp(q·k⁺/τ) / (exp(q·k⁺/τ) + Σ_k exp(q·k/τ)).

    Args:
        queries_bc, keys_bc: L2-normalised (B, C); key i, another view of the same clip, is the positive of query i.
        queue_qc: L2-normalised (Q, C), keys of earlier steps: the negatives.
    """
    positive_b1 = (queries_bc * keys_bc).sum(dim=1, keepdim=True)
    logits = torch.cat([positive_b1, queries_bc @ queue_qc.T], dim=1) / temperature
    return cross_entropy(logits, torch.zeros(len(logits), dtype=torch.long, device=logits.device))


class Loss(Objective):
    """MoCo with released projector and predictor or MoCo v2's two-layer head. Metric: mean cosine of the positives."""

    Options = Moco
    views: ClassVar = {"query": ["crop"], "key": ["crop"]}
    columns = ("positive_cosine",)

    def __init__(self, networks: Mapping[str, Backbone], options: Moco, generator: torch.Generator) -> None:
        super().__init__(networks, options, generator)
        (encoder,) = networks.values()
        width = encoder.width
        self.options = options
        if options.head == "predictor":
            projector, predictor = projector_and_predictor(width, options)
            self.head = nn.Sequential(OrderedDict(projector=projector, predictor=predictor))
        else:
            projection = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, options.width))
            start(projection, options)
            self.head = nn.Sequential(OrderedDict(projector=projection))
        self.teacher = Teacher(encoder, self.head)
        self.queue = Queue(options.queue, width if options.head == "predictor" else options.width, "random", generator)

    @classmethod
    def passes(cls, options: Settings) -> tuple[int, int]:
        assert isinstance(options, Moco)
        return 1, 1

    def crops(self, sampling: Sampling) -> dict[str, Sampling]:
        return {"query": sampling, "key": sampling}

    def heads(self) -> nn.ModuleDict:
        return nn.ModuleDict(dict(self.head.named_children()))

    def forward(self, batch: Batch, networks: Mapping[str, Backbone]) -> tuple[Tensor, dict[str, Tensor]]:
        (encoder,) = networks.values()
        (y_bc,) = batch.features(encoder, "query")
        (g_bc,) = self.teacher(batch, "key")
        queries_bc, keys_bc = normalize(self.head(y_bc), dim=1), normalize(g_bc, dim=1)
        # A clone, since the queue changes before the backward pass.
        loss = moco_loss(queries_bc, keys_bc, self.queue.entries.clone(), self.options.temperature)
        self.queue.update(keys_bc, batch.clips)
        return loss, {"positive_cosine": (queries_bc.detach() * keys_bc).sum(dim=1).mean()}

    def reset_copies(self, networks: Mapping[str, Backbone]) -> None:
        self.teacher.head.load_state_dict(self.head.state_dict())

    def after(self, networks: Mapping[str, Backbone], done: int, steps: int) -> None:
        (encoder,) = networks.values()
        self.teacher.ema_update(encoder, self.head, self.options.momentum)
