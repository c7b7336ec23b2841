"""What a model's tensors start as, and which of them decay (the released MAMP's choices; the paper follows MAMP)."""

from __future__ import annotations

from torch import Generator, nn

from stars.backbones.attention import PatchEmbedding

TABLE_STD = 0.02  # of position tables and mask token


def init_(module: nn.Module, generator: Generator | None = None) -> None:
    """Set every tensor of an encoder or decoder to its starting value, in place; `generator` None: torch's global one.

    Linear: xavier-uniform over the whole matrix (query, key and value are one), bias 0. Patch embedding: ±1/√(fan in), weight
    and bias, as PyTorch's convolutions start. LayerNorm: 1 and 0. Position tables and mask token: truncated normal.
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
    """Names of the parameters that weight decay acts on: matrices and tables; neither biases nor norms, which have one dimension."""
    return {name for name, parameter in module.named_parameters() if parameter.ndim > 1}
