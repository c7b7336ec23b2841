"""Momentum contrast (paper §4.4, Table 8; He et al., CVPR 2020): a clip's two views among the keys of earlier clips."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from stars.config import Moco, Sampling
from stars.model.encoder import Encoder
from stars.training.losses.heads import projector_and_predictor, start
from stars.training.losses.queue import Queue
from stars.training.losses.strategy import Batch, Strategy
from stars.training.losses.teacher import Teacher


def moco_loss(queries_bc: Tensor, keys_bc: Tensor, queue_qc: Tensor, temperature: float) -> Tensor:
    """MoCo's Eq. 1, mean over the batch: −log of exp(q·k⁺/τ) / (exp(q·k⁺/τ) + Σ_k exp(q·k/τ)).

    Args:
        queries_bc, keys_bc: L2-normalised (B, C); key i, another view of the same clip, is the positive of query i.
        queue_qc: L2-normalised (Q, C), keys of earlier steps: the negatives.
    """
    positive_b1 = (queries_bc * keys_bc).sum(dim=1, keepdim=True)
    logits = torch.cat([positive_b1, queries_bc @ queue_qc.T], dim=1) / temperature
    return cross_entropy(logits, torch.zeros(len(logits), dtype=torch.long, device=logits.device))


class Loss(Strategy):
    """Projector and predictor as released, or MoCo v2's head of two layers; the key network; the queue. Fact: mean cosine of the positives."""

    Options = Moco
    columns = ("positive_cosine",)

    def __init__(self, encoder: Encoder, options: Moco, generator: torch.Generator) -> None:
        super().__init__(encoder, options, generator)
        width = encoder.shape.width
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

    def crops(self, sampling: Sampling) -> list[Sampling]:
        return [sampling, sampling]

    def heads(self) -> nn.ModuleDict:
        return nn.ModuleDict(dict(self.head.named_children()))

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        (y_bc,) = batch.features(views=slice(0, 1))
        (g_bc,) = self.teacher(batch, slice(1, 2))
        queries_bc, keys_bc = normalize(self.head(y_bc), dim=1), normalize(g_bc, dim=1)
        # A clone: the queue changes before the backward pass, which needs it as it was.
        loss = moco_loss(queries_bc, keys_bc, self.queue.entries.clone(), self.options.temperature)
        self.queue.update(keys_bc, batch.clips)
        return loss, {"positive_cosine": (queries_bc.detach() * keys_bc).sum(dim=1).mean()}

    def heads_filled(self) -> None:
        self.teacher.head.load_state_dict(self.head.state_dict())

    def after(self, encoder: Encoder, done: int, steps: int) -> None:
        self.teacher.follow(encoder, self.head, self.options.momentum)
