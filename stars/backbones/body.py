"""Limbs and trunk of a skeleton, and joints from bones, derived from the joints' parents."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from stars.backbones.graph import root


def body_parts(parents: tuple[int, ...]) -> list[list[int]]:
    """Joints of each limb, and last the trunk's. Limbs are maximal subtrees with a sibling of the same shape."""
    children: list[list[int]] = [
        [other for other, parent in enumerate(parents) if parent == joint != other] for joint in range(len(parents))
    ]

    def shape(joint: int) -> str:
        return f"({''.join(sorted(map(shape, children[joint])))})"

    def under(joint: int) -> list[int]:
        return [joint, *(other for child in children[joint] for other in under(child))]

    def limbs(joint: int) -> list[list[int]]:
        shapes = [shape(child) for child in children[joint]]
        found = (
            [under(child)] if shapes.count(own) > 1 else limbs(child)
            for child, own in zip(children[joint], shapes, strict=True)
        )
        return [limb for of_child in found for limb in of_child]

    found = limbs(root(parents))
    return [*found, sorted({*range(len(parents))} - {joint for limb in found for joint in limb})]


def part_averages(parts: Sequence[Sequence[int]], joints: int) -> Tensor:
    """(V, V) matrix that replaces each joint by the mean over its body part."""
    own_pv = torch.zeros(len(parts), joints)
    for part, of_part in enumerate(parts):
        own_pv[part, list(of_part)] = 1
    return own_pv.T @ (own_pv / own_pv.sum(1, keepdim=True))


def paths(parents: Sequence[int]) -> Tensor:
    """(V, V), 1 if a joint is on the path from the root to another (inclusive): multiplied by bones, it gives
    positions.
    """
    reached_vv = torch.eye(len(parents))
    step_vv = torch.eye(len(parents))[list(parents)]
    for _ in parents:
        reached_vv = torch.maximum(reached_vv, step_vv @ reached_vv)
    return reached_vv
