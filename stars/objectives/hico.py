"""HiCo's hierarchical contrast (Dong et al., AAAI 2023, §3.2): clips, parts, domains and instances of two views of a
clip.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from stars.backbones.base import Backbone
from stars.backbones.hico import Network
from stars.config.base import Count, Fraction, Positive, Settings, key
from stars.objectives.base import Batch, Objective
from stars.objectives.queue import Queue
from stars.objectives.teacher import ema_update

SEQUENCE: list[object] = [
    {"crop": {"share": [0.1, 1.0], "min_frames": 64}},
    {"either": [["corrupt"], [{"shear": {"amplitude": 1.0}}]]},
]
# query → key
CONTRASTS = {"clip": "clip", "part": "part", "temporal": "spatial", "spatial": "temporal", "instance": "instance"}
GRANULAR = ("clip", "part")  # contrasts with a key for each granularity


class HicoOptions(Settings):
    """HiCo's settings."""

    dimension: Count = key(128, "dimension of queries and keys")
    queue: Count = key(
        2048, "clips whose keys are kept for each of the five losses; clips and parts have one key per granularity"
    )
    renewed: Literal["all", "release"] = key(
        "release",
        "entries of the clip and part queues that are updated. release: only the first `queue`, where the released code"
        " wraps around, so the other (granularities − 1) times as many keep their random initial vectors; all: every"
        " entry",
    )
    momentum: Fraction = key(0.999, "momentum of the key network's update")
    temperature: Positive = key(0.2, "temperature of the softmax over positives and queue")


class Loss(Objective):
    """Five losses with equal weights. Clip- and part-level queries use the finest granularity, and the keys of all
    granularities are their positives; a temporal query's positive is the spatial key, and vice versa. Metrics: each
    loss."""

    Options = HicoOptions
    columns = tuple(f"{name}_loss" for name in CONTRASTS)
    needs = "hico"
    views: ClassVar = {"query": SEQUENCE, "key": SEQUENCE}

    def __init__(self, networks: Mapping[str, Backbone], options: HicoOptions, generator: torch.Generator) -> None:
        super().__init__(networks, options, generator)
        (network,) = networks.values()
        assert isinstance(network, Network), "guaranteed by `needs`"
        self.options = options
        self.projectors = projectors(network, options.dimension)
        self.key_network = copy.deepcopy(network).requires_grad_(False)
        self.key_projectors = copy.deepcopy(self.projectors).requires_grad_(False)
        sizes = {name: options.queue * (network.granularities if name in GRANULAR else 1) for name in CONTRASTS}
        self.queues = nn.ModuleDict(
            {name: Queue(size, options.dimension, "random", generator) for name, size in sizes.items()}
        )

    @classmethod
    def passes(cls, options: Settings) -> tuple[int, int]:
        return 1, 1

    def heads(self) -> nn.ModuleDict:
        return self.projectors

    def forward(self, batch: Batch, networks: Mapping[str, Backbone]) -> tuple[Tensor, dict[str, Tensor]]:
        (network,) = networks.values()
        ema_update(self.key_network, network, self.options.momentum)
        ema_update(self.key_projectors, self.projectors, self.options.momentum)
        (y_bc,) = batch.features(network, "query")
        keys = self._keys(batch)
        queries = self._projected(self.projectors, y_bc, finest=True)
        losses = {name: self._contrast(queries[name], keys[other], other) for name, other in CONTRASTS.items()}
        for name, keys_bgd in keys.items():
            self._enqueue(name, keys_bgd, batch.clips)
        return torch.stack(list(losses.values())).sum(), {
            f"{name}_loss": loss.detach() for name, loss in losses.items()
        }

    @torch.no_grad()
    def _keys(self, batch: Batch) -> dict[str, Tensor]:
        (y_bc,) = batch.features(self.key_network, "key")
        return self._projected(self.key_projectors, y_bc)

    def _projected(self, heads: nn.ModuleDict, y_bc: Tensor, finest: bool = False) -> dict[str, Tensor]:
        """Unit vectors for each loss, (B, G, D) for clips and parts, or (B, 1, D) of the finest granularity if
        `finest`; (B, 1, D) for the others.
        """
        clips_bgc, parts_bgc = self.key_network.levels(y_bc)
        shown = slice(0, 1) if finest else slice(None)
        seen = {
            "clip": clips_bgc[:, shown],
            "part": parts_bgc[:, shown],
            "temporal": clips_bgc.flatten(1)[:, None],
            "spatial": parts_bgc.flatten(1)[:, None],
            "instance": y_bc[:, None],
        }
        return {name: normalize(heads[name](x_bgc), dim=-1) for name, x_bgc in seen.items()}

    def _contrast(self, query_b1d: Tensor, keys_bgd: Tensor, name: str) -> Tensor:
        # A clone, since the queue changes before the backward pass.
        return contrast(query_b1d[:, 0], keys_bgd, self._queue(name).entries.clone(), self.options.temperature)

    def _queue(self, name: str) -> Queue:
        queue = self.queues[name]
        assert isinstance(queue, Queue)
        return queue

    def _enqueue(self, name: str, keys_bgd: Tensor, clips_b: Tensor) -> None:
        queue = self._queue(name)
        queue.update(keys_bgd.flatten(0, 1), clips_b.repeat_interleave(keys_bgd.shape[1]))
        if self.options.renewed == "release":
            queue.pointer.remainder_(self.options.queue)

    def reset_copies(self, networks: Mapping[str, Backbone]) -> None:
        """Copy network and projectors to the key side again, after their weights were loaded."""
        (network,) = networks.values()
        self.key_network.load_state_dict(network.state_dict())
        self.key_projectors.load_state_dict(self.projectors.state_dict())


def contrast(query_bd: Tensor, positives_bgd: Tensor, queue_qd: Tensor, temperature: float) -> Tensor:
    """HiCo's Eq. 4, mean over the batch: −log of the positives' total share in the softmax over positives and queue.

    Args:
        query_bd, positives_bgd, queue_qd: unit vectors. With one positive (G = 1) it is InfoNCE.
    """
    positive_bg = torch.einsum("bd,bgd->bg", query_bd, positives_bgd) / temperature
    negative_bq = query_bd @ queue_qd.T / temperature
    return (torch.cat([positive_bg, negative_bq], 1).logsumexp(1) - positive_bg.logsumexp(1)).mean()


def projectors(network: Network, dimension: int) -> nn.ModuleDict:
    """One projector of two layers per loss, shared by all granularities. Biases use PyTorch's initialisation,
    matrices Xavier's.
    """
    hidden = network.hidden
    of_domain = network.granularities * hidden
    inputs = {"clip": hidden, "part": hidden, "temporal": of_domain, "spatial": of_domain, "instance": network.width}
    heads = nn.ModuleDict(
        {
            name: nn.Sequential(nn.Linear(size, hidden), nn.ReLU(), nn.Linear(hidden, dimension))
            for name, size in inputs.items()
        }
    )
    for parameter in heads.parameters():
        if parameter.ndim == 2:
            nn.init.xavier_uniform_(parameter)
    return heads
