"""k-means on the unit sphere with Riemannian means as centres: HaLP's prototypes (Shah et al., CVPR 2023)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from stars.data.device import sent

ROUNDS = 10  # of assigning points and updating centres
STEPS = 4  # of gradient descent to a Riemannian mean, from the previous centre


class Draws(NamedTuple):
    """Random choices of a clustering: uniform numbers (K,) that select initial centres; points (ROUNDS, K) that
    replace empty centres.
    """

    starts_k: Tensor
    spare_rk: Tensor


def draws(points: int, centres: int, generator: torch.Generator) -> Draws:
    """Sample the random choices for `points` points, on the CPU."""
    return Draws(
        torch.rand(centres, generator=generator), torch.randint(points, (ROUNDS, centres), generator=generator)
    )


@torch.no_grad()
def prototypes(points_nd: Tensor, drawn: Draws) -> Tensor:
    """Centres (K, D) of unit vectors (N, D), unit vectors; without synchronising with the device."""
    starts_k, spare_rk = (sent(tensor, points_nd.device) for tensor in drawn)
    return refined(points_nd, spread_out(points_nd, starts_k), spare_rk)


def spread_out(points_nd: Tensor, starts_k: Tensor) -> Tensor:
    """Initial centres (K, D) as in k-means++: each a point sampled in proportion to its angle from the nearest
    previous centre.
    """
    weights_n = torch.ones_like(points_nd[:, 0])
    chosen = []
    for start in starts_k.unbind():
        total_n = weights_n.cumsum(0)
        place = (total_n <= start * total_n[-1]).sum().clamp(max=len(points_nd) - 1)
        chosen.append(points_nd.index_select(0, place[None]))
        apart_n = angles(points_nd @ chosen[-1][0]).index_fill(0, place[None], 0.0)
        weights_n = apart_n if len(chosen) == 1 else torch.minimum(weights_n, apart_n)
    return torch.cat(chosen)


def refined(points_nd: Tensor, centres_kd: Tensor, spare_rk: Tensor) -> Tensor:
    """Centres after ROUNDS of Lloyd's algorithm; an empty centre moves to its random replacement."""
    for spare_k in spare_rk.unbind():
        nearest_n1 = (points_nd @ centres_kd.T).argmax(1, keepdim=True)
        own_nk = torch.zeros_like(points_nd @ centres_kd.T).scatter_(1, nearest_n1, 1.0)
        counts_k1 = own_nk.sum(0)[:, None]
        for _ in range(STEPS):
            centres_kd = _towards_mean(points_nd, centres_kd, own_nk / counts_k1.T.clamp(min=1))
        centres_kd = torch.where(counts_k1 > 0, centres_kd, points_nd[spare_k])
    return centres_kd


def angles(cosines: Tensor) -> Tensor:
    """Radians between unit vectors with these inner products."""
    return cosines.clamp(-1, 1).acos()


def _towards_mean(points_nd: Tensor, centres_kd: Tensor, weights_nk: Tensor) -> Tensor:
    """A step of length 1 along the mean of logarithms at each centre. weights_nk: of each centre's points, summing
    to 1.
    """
    ours_nd = (weights_nk > 0).to(points_nd.dtype) @ centres_kd
    cosine_n1 = (points_nd * ours_nd).sum(1, keepdim=True).clamp(-1, 1)
    logarithm_nd = (points_nd - cosine_n1 * ours_nd) / torch.sinc(cosine_n1.acos() / torch.pi).clamp(min=1e-6)
    step_kd = weights_nk.T @ logarithm_nd
    length_k1 = step_kd.norm(dim=1, keepdim=True)
    return torch.nn.functional.normalize(
        length_k1.cos() * centres_kd + torch.sinc(length_k1 / torch.pi) * step_kd, dim=1
    )
