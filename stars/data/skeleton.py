"""A layout of joints: names, tree, axes and unit. Each is a YAML file, in config/skeletons or your own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, TypeAlias

import numpy as np
from pydantic import Field, model_validator

from stars.config import Settings, key

Axis: TypeAlias = Literal["x", "y", "z", "-x", "-y", "-z"]
Unit: TypeAlias = Literal["m", "cm", "mm"]
PLAIN: tuple[Axis, Axis, Axis] = ("x", "y", "z")
METRES: dict[Unit, float] = {"m": 1.0, "cm": 0.01, "mm": 0.001}
AXES = (
    "the file's axes that become x (to the sensor's left), y (up) and z (away from the sensor); [-x, -y, z] if y points"
    " down"
)
UNIT = "unit of the file's numbers"


class Skeleton(Settings):
    """A layout of joints; indices of joints count from 0."""

    joints: tuple[str, ...] = key(..., "joint names in file order", min_length=1)
    parents: tuple[int, ...] = key(..., "each joint's parent; the root is its own parent")
    mirror: tuple[tuple[int, int], ...] = key((), "left and right joint of each pair")
    root: int = key(..., "joint subtracted when centring", ge=0)
    axes: tuple[Axis, Axis, Axis] = key(PLAIN, AXES)
    unit: Unit = key("m", UNIT)
    fps: Annotated[float, Field(gt=0)] | None = key(None, "frames per second; null: the encoder's")

    @model_validator(mode="after")
    def _consistent(self) -> Skeleton:
        check(self.joints, self.parents, self.mirror, self.root)
        check_axes(self.axes)
        return self


def check(joints: Sequence[str], parents: Sequence[int], mirror: Sequence[tuple[int, int]], root: int) -> None:
    """ValueError if an index of a joint is out of range or a joint has no parent."""
    if len(parents) != len(joints):
        raise ValueError(f"{len(parents)} parents for {len(joints)} joints")
    named = {*parents, root, *(joint for pair in mirror for joint in pair)}
    if not named <= set(range(len(joints))):
        raise ValueError(f"joint {max(named)} is out of range: there are {len(joints)} joints, 0 to {len(joints) - 1}")


def check_axes(axes: Sequence[Axis]) -> None:
    """ValueError unless each of x, y and z occurs once."""
    if sorted(axis[-1] for axis in axes) != ["x", "y", "z"]:
        raise ValueError(f"axes must name x, y and z once each, found {', '.join(axes)}")


def in_metres_y_up(x: np.ndarray, axes: Sequence[Axis], unit: Unit) -> np.ndarray:
    """Convert a file's coordinates (…, 3) float32 to metres along x, y (up) and z."""
    return x if tuple(axes) == PLAIN and unit == "m" else x @ (_turn(axes) * np.float32(METRES[unit]))


def as_filed(x: np.ndarray, axes: Sequence[Axis], unit: Unit) -> np.ndarray:
    """The inverse of `in_metres_y_up`."""
    return x if tuple(axes) == PLAIN and unit == "m" else x @ (_turn(axes).T / np.float32(METRES[unit]))


def _turn(axes: Sequence[Axis]) -> np.ndarray:
    """(3, 3) matrix from the file's axes (rows) to x, y and z (columns)."""
    turn = np.zeros((3, 3), np.float32)
    for to, axis in enumerate(axes):
        turn["xyz".index(axis[-1]), to] = -1 if axis.startswith("-") else 1
    return turn
