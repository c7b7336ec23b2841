"""MS²L: a recurrent network learns motion prediction, a jigsaw of segments and contrast (Lin et al., ACM MM 2020)."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import permutations
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from stars.backbones.base import Backbone
from stars.backbones.bi_gru import Network
from stars.config.base import Count, Fraction, Positive, Settings, key
from stars.data.device import sent
from stars.errors import InputError
from stars.objectives.base import Batch, Objective
from stars.training import parallel

VERSIONS = ("original", "masked", "jigsaw")


class Ms2lOptions(Settings):
    """Masking, shuffling, and the heads' sizes."""

    masked: Fraction = key(0.3, "share of frames, at the end of a clip, that the masked version sets to zero")
    segments: Count = key(3, "segments of a clip that the jigsaw version permutes; remaining frames stay at its end")
    hidden: Count = key(2048, "hidden dimension of the contrast and the jigsaw head")
    dimension: Count = key(1024, "dimension of the contrasted embeddings")
    temperature: Positive = key(0.9, "temperature of the contrast")


class Versions(NamedTuple):
    """A value for each of a clip's three versions: original, masked and jigsaw."""

    original: Tensor
    masked: Tensor
    jigsaw: Tensor


class Loss(Objective):
    """Motion prediction, jigsaw and contrast, with equal weights. Metrics: each of them."""

    Options = Ms2lOptions
    columns = ("motion_loss", "jigsaw_loss", "contrast_loss")
    needs = "bi_gru"
    views: ClassVar = {"only": []}

    def __init__(self, networks: Mapping[str, Backbone], options: Ms2lOptions, generator: torch.Generator) -> None:
        super().__init__(networks, options, generator)
        (network,) = networks.values()
        assert isinstance(network, Network), "guaranteed by `needs`"
        if network.frames < options.segments:
            raise InputError(
                f"objective: segments ({options.segments}) must not be more than a clip's {network.frames} frames:"
                " lower it"
            )
        self.options = options
        self.orders = torch.tensor(list(permutations(range(options.segments))))
        self.motion = MotionHead(network.width, network.inputs)
        self.contrast = projector(network.width, options.hidden, options.dimension)
        self.jigsaw = projector(network.width, options.hidden, len(self.orders))

    def heads(self) -> nn.ModuleDict:
        return nn.ModuleDict({"motion": self.motion, "contrast": self.contrast, "jigsaw": self.jigsaw})

    def kept(self) -> nn.ModuleDict:
        """Nothing: the heads are not needed afterwards."""
        return nn.ModuleDict()

    def forward(self, batch: Batch, networks: Mapping[str, Backbone]) -> tuple[Tensor, dict[str, Tensor]]:
        """With several processes, each encodes its share of the clips; the two clip-level heads see all."""
        (network,) = networks.values()
        assert isinstance(network, Network), "guaranteed by `needs`"
        clips = len(batch.clips)
        order_b = torch.randint(len(self.orders), (clips,), generator=batch.generator)
        x_btn = network.sequence(batch.views["only"].x_bmtvc)
        versions = Versions(
            x_btn, masked(x_btn, self.options.masked), shuffled(x_btn, self.orders[order_b[parallel.share(clips)]])
        )
        with batch.arithmetic():
            outputs = Versions(*network.outputs(torch.cat(versions))[0].chunk(3))
            finished_btn = self.motion(outputs.masked)
        features = Versions(*(parallel.gather(output_btc.float().mean(1)) for output_btc in outputs))
        batch.seen = features.original.detach()
        motion = parallel.share_of_mean((finished_btn.float() - x_btn).square().mean(), clips)
        jigsaw = cross_entropy(self.jigsaw(features.jigsaw), sent(order_b, x_btn.device))
        contrast = self.contrasted(features)
        metrics = {"motion_loss": motion.detach(), "jigsaw_loss": jigsaw.detach(), "contrast_loss": contrast.detach()}
        return motion + jigsaw + contrast, metrics

    def contrasted(self, features: Versions) -> Tensor:
        """Contrast each version of a clip with the mean of its three."""
        projected = [self.contrast(feature_bc) for feature_bc in features]  # BatchNorm sees one version at a time
        mean_bd = torch.stack(projected).mean(0)
        return torch.stack([pairs(z_bd, mean_bd, self.options.temperature) for z_bd in projected]).mean()


class MotionHead(nn.Module):
    """Two recurrent layers and a linear layer: outputs of the encoder (B, T, C) → frames (B, T, N)."""

    def __init__(self, width: int, values: int) -> None:
        super().__init__()
        self.gru = nn.GRU(width, width, num_layers=2, batch_first=True)
        self.out = nn.Linear(width, values)

    def forward(self, outputs_btc: Tensor) -> Tensor:
        return self.out(self.gru(outputs_btc)[0])


def projector(width: int, hidden: int, outputs: int) -> nn.Sequential:
    """Linear – BatchNorm – ReLU – Linear; matrices Xavier-normal, biases 0."""
    head = nn.Sequential(nn.Linear(width, hidden), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Linear(hidden, outputs))
    for layer in (head[0], head[3]):
        assert isinstance(layer, nn.Linear)
        nn.init.xavier_normal_(layer.weight)
        nn.init.zeros_(layer.bias)
    return head


def masked(x_btn: Tensor, share: float) -> Tensor:
    """Set the last frames of clips to zero."""
    frames = x_btn.shape[1]
    shown_t = torch.arange(frames, device=x_btn.device) < frames * (1 - share)
    return x_btn * shown_t[:, None]


def shuffled(x_btn: Tensor, order_bs: Tensor) -> Tensor:
    """Permute segments: position s gets segment order[b, s]; order (B, S) on the CPU."""
    (clips, frames, _), segments = x_btn.shape, order_bs.shape[1]
    length = frames // segments
    from_bt = torch.arange(frames).repeat(clips, 1)
    from_bt[:, : segments * length] = (order_bs[:, :, None] * length + torch.arange(length)).flatten(1)
    rows = sent((torch.arange(clips)[:, None] * frames + from_bt).flatten(), x_btn.device)
    return x_btn.flatten(0, 1).index_select(0, rows).view_as(x_btn)


def pairs(one_bd: Tensor, other_bd: Tensor, temperature: float) -> Tensor:
    """Mean cross-entropy of finding each row's partner among the 2 B − 1 other rows of both, by cosine similarity over
    the temperature.

    The release sets a row's similarity to itself to −1 and keeps it among the candidates, which are then 2 B.
    """
    one_bd, other_bd = normalize(one_bd, dim=1), normalize(other_bd, dim=1)
    rows, columns = torch.cat([one_bd, other_bd]), torch.cat([other_bd, one_bd])
    itself = torch.eye(len(one_bd), dtype=torch.bool, device=one_bd.device)
    elsewhere = torch.zeros_like(itself)
    mask = torch.cat([torch.cat([elsewhere, itself], 1), torch.cat([itself, elsewhere], 1)])
    logits = (rows @ columns.T).masked_fill(mask, -1.0) / temperature
    return cross_entropy(logits, torch.arange(len(rows), device=logits.device))
