"""Encoder and decoder of stage 1 as one module, whose tensors have the names that the released MAMP's are converted
to.
"""

import torch
from torch import Tensor, nn

from stars.backbones.transformer import Network
from stars.config import Model, Motion
from stars.objectives.mamp import Loss


class MaskedMotion(nn.Module):
    def __init__(self, shape: Model, motion: Motion, joints: int, parents: tuple[int, ...] = ()):
        super().__init__()
        self.encoder = Network(shape, joints, parents)
        loss = Loss({"encoder": self.encoder}, motion, torch.Generator())
        self.decoder = loss.decoder
        self.__dict__["loss"] = loss  # not registered: its decoder is

    def forward(self, x_rtvc: Tensor, noise_rl: Tensor) -> Tensor:
        return self.loss.loss(self.encoder, x_rtvc, noise_rl)
