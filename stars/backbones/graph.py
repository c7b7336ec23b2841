"""The skeleton as a graph: three subsets of neighbours for graph convolutions (Yan et al., ST-GCN, AAAI 2018, §3.3)."""

from __future__ import annotations

import torch
from torch import Tensor

REACH = 1  # largest distance from the centre in the released code; joints beyond count as equally far


def spatial_partition(parents: tuple[int, ...], centre: int) -> Tensor:
    """Weights (3, V, V): entry [k, v, w] is the weight of joint v for joint w in subset k.

    The subsets are the joint itself; neighbours at the same or a larger distance from the centre; and nearer ones. A
    joint's weights sum to 1 over all subsets.

    Args:
        parents: each joint's parent; a root is its own parent. centre: the joint from which distances are measured, in
            bones.
    """
    joints = len(parents)
    bones_vv = torch.zeros(joints, joints, dtype=torch.bool)
    for joint, parent in enumerate(parents):
        if joint != parent:
            bones_vv[joint, parent] = bones_vv[parent, joint] = True
    near_vv = bones_vv | torch.eye(joints, dtype=torch.bool)
    share_vv = near_vv / near_vv.sum(0, keepdim=True)
    far_v = distances(bones_vv, centre).clamp(max=REACH + 1)
    further_vv = bones_vv & (far_v[:, None] >= far_v[None])
    subsets = torch.eye(joints, dtype=torch.bool), further_vv, bones_vv & ~further_vv
    return torch.stack([subset_vv * share_vv for subset_vv in subsets])


def distances(bones_vv: Tensor, centre: int) -> Tensor:
    """Bones between the centre and each joint, int64 (V,); V if unreachable."""
    joints = len(bones_vv)
    far_v = torch.full((joints,), joints)
    reached_v = torch.arange(joints) == centre
    for bones in range(joints):
        far_v[reached_v & (far_v == joints)] = bones
        reached_v = reached_v | bones_vv[reached_v].any(0)
    return far_v


def root(parents: tuple[int, ...]) -> int:
    """The joint that is its own parent, or joint 0."""
    return next((joint for joint, parent in enumerate(parents) if joint == parent), 0)


def directed(parents: tuple[int, ...]) -> Tensor:
    """Weights (3, V, V) of 2s-AGCN: entry [k, v, w] is the weight of joint v for joint w: itself, its parent, and
    its children in equal shares.
    """
    joints = len(parents)
    from_parent = torch.zeros(joints, joints)
    for joint, parent in enumerate(parents):
        if joint != parent:
            from_parent[parent, joint] = 1.0
    from_children = from_parent.T / from_parent.sum(1).clamp(min=1)
    return torch.stack([torch.eye(joints), from_parent, from_children])
