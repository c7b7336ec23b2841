"""The two heads of stage 2: projector g_θ and predictor (paper §3.3, §4.2). They start as PyTorch's layers do."""

from __future__ import annotations

from torch import Tensor, nn


class Projector(nn.BatchNorm1d):
    """z = BatchNorm(y): (B, C) → (B, C)."""


class Predictor(nn.Module):
    """Linear – BatchNorm – ReLU – Linear: z (B, C) → z⁺ (B, C). `bias`: of the first layer."""

    def __init__(self, width: int, hidden: int, bias: bool = True):
        super().__init__()
        self.widen = nn.Linear(width, hidden, bias)
        self.norm = nn.BatchNorm1d(hidden)
        self.narrow = nn.Linear(hidden, width)

    def forward(self, z_bc: Tensor) -> Tensor:
        return self.narrow(self.norm(self.widen(z_bc)).relu())
