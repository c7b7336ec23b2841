"""Collapse monitor: standard deviation and effective rank of features."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize


def effective_rank(features_bc: Tensor) -> float:
    """exp(entropy of the normalised singular values) of features (B, C), from 1 to min(B, C).

    Features are not centred: if all point in one direction, the rank is 1, while centring would leave the rank of
    noise. (Roy and Vetterli, The effective rank, EUSIPCO 2007.)
    """
    values = torch.linalg.svdvals(features_bc.float())
    shares = values / values.sum().clamp_min(1e-12)
    return torch.exp(torch.special.entr(shares).sum()).item()


def feature_std(features_bc: Tensor) -> float:
    """Standard deviation over the batch of L2-normalised features (B, C), mean over channels; 0 if all are equal."""
    return normalize(features_bc.float(), dim=1).std(dim=0, correction=0).mean().item()
