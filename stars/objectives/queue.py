"""A first-in, first-out queue of embeddings (paper §3.3; He et al., MoCo, CVPR 2020)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from stars.data.device import sent

EMPTY = -2
NO_CLIP = -1


class Queue(nn.Module):
    """Q of Eq. 5. It consists of buffers, so checkpoints contain it.

    Args:
        size, width: entries and their dimension.
        start: `random` unit vectors drawn from `generator`, or `empty`.

    entries (size, width) unit vectors; owners (size,) the clip each came from, NO_CLIP for a random one, EMPTY for
    none.
    """

    entries: Tensor
    owners: Tensor
    pointer: Tensor

    def __init__(self, size: int, width: int, start: str, generator: torch.Generator) -> None:
        super().__init__()
        filled = start == "random"
        entries = (
            normalize(torch.randn(size, width, generator=generator), dim=1) if filled else torch.zeros(size, width)
        )
        self.register_buffer("entries", entries)
        self.register_buffer("owners", torch.full((size,), NO_CLIP if filled else EMPTY))
        self.register_buffer("pointer", torch.zeros((), dtype=torch.long))

    @torch.no_grad()
    def nearest(
        self,
        z_bc: Tensor,
        clips_b: Tensor,
        exclude_self: bool,
        among: int = 1,
        generator: torch.Generator | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Eq. 5 for unit vectors, where the smallest distance is the largest cosine.

        Returns the neighbours (B, C), detached, and the clip each came from (B,). `exclude_self` excludes entries of
        the same clip. If `among` is above 1, `generator` (on the CPU) selects one of that many most similar entries.
        Without a candidate, z is its own neighbour and the clip is EMPTY.
        """
        barred = (self.owners == EMPTY)[None]
        if exclude_self:
            barred = barred | (self.owners[None] == clips_b[:, None])
        similarity = (z_bc @ self.entries.T).masked_fill(barred, -torch.inf)
        if among == 1:
            cosine, index = similarity.max(dim=1)
        else:
            cosine_bk, index_bk = similarity.topk(among, dim=1)
            allowed_b = (cosine_bk > -torch.inf).sum(dim=1)
            draw_b = sent(torch.rand(len(z_bc), generator=generator), z_bc.device)
            place_b1 = (draw_b * allowed_b).long()[:, None]
            cosine, index = (found_bk.gather(1, place_b1).squeeze(1) for found_bk in (cosine_bk, index_bk))
        found = cosine > -torch.inf
        neighbours = torch.where(found[:, None], self.entries[index], z_bc)
        return neighbours, torch.where(found, self.owners[index], EMPTY)

    @torch.no_grad()
    def update(self, z_bc: Tensor, clips_b: Tensor) -> None:
        """Replace the oldest entries by these embeddings, or by the last of them if the queue is smaller."""
        size = len(self.entries)
        z_bc, clips_b = z_bc[-size:].float(), clips_b[-size:]
        places = (self.pointer + torch.arange(len(z_bc), device=z_bc.device)) % size
        self.entries[places] = z_bc
        self.owners[places] = clips_b
        self.pointer.copy_((self.pointer + len(z_bc)) % size)

    def newest(self, count: int) -> Tensor:
        """The newest `count` entries (count, C), newest first."""
        return self.entries[(self.pointer - 1 - torch.arange(count, device=self.entries.device)) % len(self.entries)]
