"""A gated recurrent network of two directions over the frames of a clip, both bodies side by side (as in CMD, Mao et al., ECCV 2022)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from stars.backbones.base import Backbone, BackboneOptions, Layers
from stars.config.base import Count, key


class BiGruOptions(BackboneOptions):
    """Its size."""

    frames: Count = key(64, "frames a clip is resized to")
    hidden: Count = key(1024, "hidden dimension of a direction; a feature has twice as many numbers")
    depth: Count = key(3, "layers")
    input_norm: bool = key(True, "batch normalisation of the input, over clips and frames")
    backward: bool = key(
        True,
        "true: the second direction runs backward in time, as the papers' networks do; false: both run forward, as the released code of CMD and P&C "
        "does, which calls the network frame by frame",
    )


class Network(Backbone):
    """Feature: where each direction has ended, (B, 2 · hidden). A frame is its joints in order, of each joint x, y, z, and of each of these the bodies."""

    Options = BiGruOptions
    whole_clips = True

    def __init__(self, options: BiGruOptions, joints: int, parents: tuple[int, ...] = (), bodies: int = 1) -> None:
        super().__init__(options, joints, parents, bodies)
        self.inputs, self.hidden, self.depth, self.backward = 3 * joints * bodies, options.hidden, options.depth, options.backward
        self.width = 2 * options.hidden
        self.norm = nn.BatchNorm1d(self.inputs) if options.input_norm else nn.Identity()
        self.gru = nn.GRU(self.inputs, options.hidden, options.depth, batch_first=True, bidirectional=True)
        for parameter in self.gru.parameters():
            if parameter.ndim > 1:
                nn.init.xavier_uniform_(parameter)

    def encode(self, seen: Tensor) -> Tensor:
        x_btn = seen.permute(0, 2, 3, 4, 1).flatten(2)
        normed_btn = self.norm(x_btn.transpose(1, 2)).transpose(1, 2)
        if not self.backward:
            return self._forward_twice(normed_btn)
        _, ends_dbc = self.gru(normed_btn)
        return torch.cat([ends_dbc[-2], ends_dbc[-1]], dim=1)

    def _forward_twice(self, x_btn: Tensor) -> Tensor:
        """Both directions of each layer from the first frame to the last; the next layer sees both."""
        start_1bc = x_btn.new_zeros(1, len(x_btn), self.hidden)
        for layer in range(self.depth):
            outputs = []
            for direction in ("", "_reverse"):
                weights = [getattr(self.gru, f"{name}_l{layer}{direction}") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
                made_btc, _ = torch.gru(x_btn, start_1bc, weights, True, 1, 0.0, self.training, False, True)
                outputs.append(made_btc)
            x_btn = torch.cat(outputs, dim=2)
        return x_btn[:, -1]

    def layers(self) -> Layers:
        return Layers([self.norm], [self.gru], [])

    def flops(self) -> float:
        """Of its matrix products, which torch does not count inside a GRU."""
        inputs = [self.inputs] + [self.width] * (self.depth - 1)
        return float(self.frames * sum(2 * 2 * 3 * self.hidden * (size + self.hidden) for size in inputs))
