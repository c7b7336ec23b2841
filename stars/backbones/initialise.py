"""Initialisation and weight decay of a model's tensors (as in the released MAMP, which the paper follows)."""

from __future__ import annotations

from torch import Generator, nn

from stars.backbones.attention import PatchEmbedding

TABLE_STD = 0.02  # standard deviation of position tables and mask token


def init_(module: nn.Module, generator: Generator | None = None) -> None:
    """Initialise every tensor of an encoder or decoder in place; `generator` None: torch's global one.

    Linear: xavier-uniform over the whole matrix (query, key and value are one), bias 0. Patch embedding: ±1/√(fan in),
    weight and bias, as PyTorch's convolutions. LayerNorm: 1 and 0. Position tables and mask token: truncated normal.
    """
    for part in module.modules():
        if isinstance(part, PatchEmbedding):
            bound = part.in_features**-0.5
            nn.init.uniform_(part.weight, -bound, bound, generator)
            nn.init.uniform_(part.bias, -bound, bound, generator)
        elif isinstance(part, nn.Linear):
            nn.init.xavier_uniform_(part.weight, generator=generator)
            nn.init.zeros_(part.bias)
        elif isinstance(part, nn.LayerNorm):
            part.reset_parameters()
        else:
            for table in part.parameters(recurse=False):
                nn.init.trunc_normal_(table, std=TABLE_STD, generator=generator)


def decayed(module: nn.Module) -> set[str]:
    """Names of the parameters with weight decay: matrices and tables, not one-dimensional ones (biases, norms)."""
    return {name for name, parameter in module.named_parameters() if parameter.ndim > 1}
