"""Input streams of a network: joints, bones or motion (as in CrosSCLR and its successors; paper, Table 1)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from stars.errors import InputError


class Stream(nn.Module):
    """Convert poses (..., T, V, 3) in metres to a stream of the same shape; absent bodies stay zeros.

    joint: the poses. bone: each joint minus its parent; zero for the root. motion: next frame minus current frame; zero
    for the last.

    Args:
        parents: each joint's parent, the root's is the root; only `bone` needs them.
    """

    parents: Tensor

    def __init__(self, kind: str, joints: int, parents: tuple[int, ...] = ()) -> None:
        super().__init__()
        if kind == "bone" and (len(parents) != joints or not set(parents) <= set(range(joints))):
            raise InputError(
                f"model.stream: bone needs a parent among {joints} joints for each of them, found {list(parents)}"
            )
        self.kind = kind
        self.register_buffer("parents", torch.tensor(parents, dtype=torch.long), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        if self.kind == "bone":
            return x - x.index_select(-2, self.parents)
        if self.kind == "motion":
            later, earlier = x[..., 1:, :, :], x[..., :-1, :, :]
            return torch.cat([later - earlier, torch.zeros_like(x[..., :1, :, :])], -3)
        return x
