"""P&C: a weak decoder reconstructs the clip from the encoder's last state, which must therefore represent it (Su et
al., CVPR 2020).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from stars.backbones.base import Backbone
from stars.backbones.bi_gru import Network
from stars.config.base import Settings, key
from stars.errors import InputError
from stars.objectives.base import Batch, Objective
from stars.training import parallel

SPREAD = 0.04  # the output layer's initial weights are uniform in ± this


class PredictClusterOptions(Settings):
    """The decoder's restriction and target."""

    decoder: Literal["fixed_state", "fixed_weights", "learned"] = key(
        "fixed_state",
        "fixed_state: the state is reset to the encoder's feature at every frame, and the output is added to the"
        " previous predicted frame; fixed_weights: random, untrained weights, no input frames, recurrent state;"
        " learned: the same with trained weights",
    )
    target: Literal["next", "same"] | None = key(
        None,
        "target frame of an output. next: the following frame; same: the same frame (released PyTorch code), trivial"
        " for the first frame with fixed_state; null: next for fixed_state, otherwise same (released TensorFlow code)",
    )


class Loss(Objective):
    """L1 distance, summed over a frame's values, averaged over frames and clips."""

    Options = PredictClusterOptions
    needs = "bi_gru"
    views: ClassVar = {"only": []}

    def __init__(
        self, networks: Mapping[str, Backbone], options: PredictClusterOptions, generator: torch.Generator
    ) -> None:
        super().__init__(networks, options, generator)
        (network,) = networks.values()
        assert isinstance(network, Network), "guaranteed by `needs`"
        if network.pooled != "last":
            raise InputError("objective: predict_cluster needs the last state of bi_gru: set its pool to last")
        self.kind = options.decoder
        self.target = options.target or ("next" if options.decoder == "fixed_state" else "same")
        self.decoder = Decoder(network.width, network.inputs).requires_grad_(options.decoder != "fixed_weights")

    def heads(self) -> nn.ModuleDict:
        return nn.ModuleDict({} if self.kind == "fixed_weights" else {"decoder": self.decoder})

    def kept(self) -> nn.ModuleDict:
        """Nothing: the decoder is not needed afterwards."""
        return nn.ModuleDict()

    def forward(self, batch: Batch, networks: Mapping[str, Backbone]) -> tuple[Tensor, dict[str, Tensor]]:
        """Mean over the batch's clips; with several processes, each has its share."""
        (network,) = networks.values()
        assert isinstance(network, Network), "guaranteed by `needs`"
        x_btn = network.sequence(batch.views["only"].x_bmtvc)
        with batch.arithmetic():
            _, state_bc = network.outputs(x_btn)
            made_btn = self.predicted(state_bc, x_btn)
        batch.seen = parallel.gather(state_bc.detach().float())
        return parallel.share_of_mean(self.distance(made_btn.float(), x_btn), len(batch.clips)), {}

    def predicted(self, state_bc: Tensor, x_btn: Tensor) -> Tensor:
        """The decoder's output for each frame of the sequence (B, T, N)."""
        if self.kind == "fixed_state":
            return self.decoder.from_fixed_state(state_bc, x_btn[:, 0], x_btn.shape[1])
        return self.decoder.from_state(state_bc, x_btn.shape[1])

    def distance(self, made_btn: Tensor, x_btn: Tensor) -> Tensor:
        """Mean over clips and frames of Σ |made − frame|."""
        difference_btn = made_btn[:, :-1] - x_btn[:, 1:] if self.target == "next" else made_btn - x_btn
        return difference_btn.abs().sum(2).mean()


class Decoder(nn.Module):
    """A GRU layer and a linear layer: a state (B, C) → frames (B, T, N)."""

    def __init__(self, width: int, values: int) -> None:
        super().__init__()
        self.gru = nn.GRU(values, width, batch_first=True)
        self.out = nn.Linear(width, values)
        for parameter in self.gru.parameters():
            if parameter.ndim > 1:
                nn.init.xavier_uniform_(parameter)
        nn.init.uniform_(self.out.weight, -SPREAD, SPREAD)

    def from_state(self, state_bc: Tensor, frames: int) -> Tensor:
        """Predict every frame from the previous state; the input is zero."""
        nothing_btn = state_bc.new_zeros(len(state_bc), frames, self.gru.input_size)
        outputs_btc, _ = self.gru(nothing_btn, state_bc[None].contiguous())
        return self.out(outputs_btc)

    def from_fixed_state(self, state_bc: Tensor, first_bn: Tensor, frames: int) -> Tensor:
        """Predict every frame from the same state and the previous predicted frame, starting with the clip's first.

        The state's contribution to the gates r, z, n of the GRU is computed once, since its new state is discarded.
        """
        names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
        of_input, of_state, input_bias, state_bias = map(self.gru.get_parameter, names)
        reset_s, update_s, new_s = linear(state_bc, of_state, state_bias).chunk(3, 1)
        made_bn, made = first_bn, []
        for _ in range(frames):
            reset_x, update_x, new_x = linear(made_bn, of_input, input_bias).chunk(3, 1)
            candidate_bc = (new_x + (reset_x + reset_s).sigmoid() * new_s).tanh()
            kept_bc = (update_x + update_s).sigmoid()
            made_bn = self.out(kept_bc * state_bc + (1 - kept_bc) * candidate_bc) + made_bn
            made.append(made_bn)
        return torch.stack(made, 1)
