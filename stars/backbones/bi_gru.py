"""A bidirectional GRU over the frames of a clip, as in CMD and ISC and, with other settings, P&C and MS²L."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from stars.backbones.axes import in_own_axes, in_unit_box
from stars.backbones.base import Backbone, BackboneOptions, Layers
from stars.config.base import Count, key
from stars.errors import InputError

Joint = Annotated[int, Field(ge=0)]


class BiGruOptions(BackboneOptions):
    """The GRU's size and input."""

    frames: Count = key(64, "frames a clip is resized to")
    hidden: Count = key(1024, "hidden dimension per direction; features are twice as wide")
    depth: Count = key(3, "layers")
    input_norm: bool = key(True, "batch normalisation of the input, over clips and frames")
    backward: bool = key(
        True,
        "true: the second direction runs backward in time, as in the papers; false: both run forward, as in the"
        " released code of CMD and P&C, which calls the network frame by frame",
    )
    pool: Literal["last", "mean"] = key(
        "last",
        "feature of a clip. last: final state of each direction; mean: the last layer's outputs, averaged over frames"
        " (MS²L)",
    )
    people: Literal["all", "first"] = key("all", "bodies in the input: all, concatenated, or only the first (P&C)")
    axes: tuple[Joint, Joint, Joint, Joint] | None = key(
        None,
        "joints that define the axes of the first body's first frame, into which a clip is rotated before scaling each"
        " coordinate to [-1, 1] (P&C): base of the spine, the joint above it, left hip, right hip (NTU: [0, 1, 12,"
        " 16]); null: unchanged",
    )


class Network(Backbone):
    """Feature (B, 2 · hidden). A frame is flattened in the order (joints, xyz, bodies)."""

    Options = BiGruOptions
    whole_clips = True

    def __init__(self, options: BiGruOptions, joints: int, parents: tuple[int, ...] = (), bodies: int = 1) -> None:
        super().__init__(options, joints, parents, bodies)
        if options.axes and max(options.axes) >= joints:
            raise InputError(
                f"bi_gru: axes contains joint {max(options.axes)}, but the skeleton has {joints}, from 0: correct it"
            )
        self.people, self.axes, self.pooled = 1 if options.people == "first" else bodies, options.axes, options.pool
        self.inputs, self.hidden, self.depth, self.backward = (
            3 * joints * self.people,
            options.hidden,
            options.depth,
            options.backward,
        )
        self.width = 2 * options.hidden
        self.norm = nn.BatchNorm1d(self.inputs) if options.input_norm else nn.Identity()
        self.gru = nn.GRU(self.inputs, options.hidden, options.depth, batch_first=True, bidirectional=True)
        for parameter in self.gru.parameters():
            if parameter.ndim > 1:
                nn.init.xavier_uniform_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        return self.of_sequence(self.sequence(x))

    def sequence(self, x_bmtvc: Tensor) -> Tensor:
        """Clips in metres as input sequences, (B, T, inputs)."""
        seen_bmtvc = x_bmtvc[:, : self.people]
        if self.axes:
            seen_bmtvc = in_unit_box(in_own_axes(seen_bmtvc, *self.axes))
        return self.stream(seen_bmtvc).permute(0, 2, 3, 4, 1).flatten(2)

    def of_sequence(self, x_btn: Tensor) -> Tensor:
        """Features of input sequences."""
        outputs_btc, ended_bc = self.outputs(x_btn)
        return ended_bc if self.pooled == "last" else outputs_btc.mean(1)

    def outputs(self, x_btn: Tensor) -> tuple[Tensor, Tensor]:
        """The last layer's output for each frame (B, T, width), and the final states (B, width)."""
        normed_btn = self.norm(x_btn.transpose(1, 2)).transpose(1, 2)
        if not self.backward:
            outputs_btc = self._forward_twice(normed_btn)
            return outputs_btc, outputs_btc[:, -1]
        outputs_btc, ends_dbc = self.gru(normed_btn)
        return outputs_btc, torch.cat([ends_dbc[-2], ends_dbc[-1]], dim=1)

    def _forward_twice(self, x_btn: Tensor) -> Tensor:
        """Run both directions of each layer forward in time; the next layer takes both outputs."""
        start_1bc = x_btn.new_zeros(1, len(x_btn), self.hidden)
        for layer in range(self.depth):
            outputs = []
            for direction in ("", "_reverse"):
                weights = [
                    getattr(self.gru, f"{name}_l{layer}{direction}")
                    for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
                ]
                made_btc, _ = torch.gru(x_btn, start_1bc, weights, True, 1, 0.0, self.training, False, True)
                outputs.append(made_btc)
            x_btn = torch.cat(outputs, dim=2)
        return x_btn

    def layers(self) -> Layers:
        return Layers([self.norm], [self.gru], [])

    def flops(self) -> float:
        """Counts the matrix products, which torch does not count in a GRU."""
        inputs = [self.inputs] + [self.width] * (self.depth - 1)
        return float(self.frames * sum(2 * 2 * 3 * self.hidden * (size + self.hidden) for size in inputs))
