"""A body to draw: bones, sides, and a clip's viewing direction."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stars.data.dataset import Dataset

LEFT, RIGHT, CENTRE = "left", "right", "centre"
TURN, RAISE = np.deg2rad(25), np.deg2rad(10)  # off the front, so that depth shows; above the horizon
HEAD = 0.085  # metres, radius of a head
APART = 0.05  # metres; shorter arrows give no direction
LEAN = np.deg2rad(35)  # larger than a sensor's tilt


@dataclass(frozen=True)
class Skeleton:
    """The part of a data set's description needed for drawing.

    Attributes:
        names: of the joints; sides: LEFT, RIGHT or CENTRE of each; bones: (parent, joint) of each non-root joint.
        pairs: left and right joint of each mirror pair; root: joint that represents a body's position; up: up axis.
    """

    names: tuple[str, ...]
    sides: tuple[str, ...]
    bones: tuple[tuple[int, int], ...]
    pairs: tuple[tuple[int, int], ...]
    root: int
    up: int

    @classmethod
    def of(cls, dataset: Dataset) -> Skeleton:
        """The skeleton of a description."""
        side = {left: LEFT for left, _ in dataset.mirror} | {right: RIGHT for _, right in dataset.mirror}
        return cls(
            names=dataset.joints,
            sides=tuple(side.get(joint, CENTRE) for joint in range(len(dataset.joints))),
            bones=tuple((parent, joint) for joint, parent in enumerate(dataset.parents) if parent != joint),
            pairs=dataset.mirror,
            root=dataset.root,
            up="xyz".index(dataset.up),
        )

    @property
    def heads(self) -> tuple[int, ...]:
        """End joints of the spine: central leaf joints, except ends directly below the root."""
        parents = {parent for parent, _ in self.bones}
        return tuple(joint for _, joint in self.bones if self.sides[joint] == CENTRE and joint not in parents)

    def bone(self, joint: int) -> tuple[int, int]:
        """(parent, joint) of a joint's bone."""
        return next(bone for bone in self.bones if bone[1] == joint)

    def bone_name(self, joint: int) -> str:
        """Name of a joint's bone."""
        return " – ".join(self.names[end] for end in self.bone(joint))


def view(x_tmvc: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """(3, 2) projection from space to the drawing, in metres right and up: `x @ view`.

    Two bodies are seen from the side, the first at the left; one body from its front; slightly turned and from above,
    and upright for any tilt of the sensor. Without separate bodies or mirror pairs, the view is the sensor's. Axes are
    assumed right-handed.
    """
    up = _upright(x_tmvc, skeleton)
    across = next((arrow for arrow in _arrows(x_tmvc, skeleton, up) if np.linalg.norm(arrow) > APART), np.eye(3)[0])
    across = across / np.linalg.norm(across)
    away = np.cross(up, across)
    right, away = np.cos(TURN) * across + np.sin(TURN) * away, np.cos(TURN) * away - np.sin(TURN) * across
    return np.stack([right, np.cos(RAISE) * up + np.sin(RAISE) * away], 1)


def _upright(x_tmvc: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """The longest direction of bodies in their median poses; the described up axis if it is far from it."""
    described = np.eye(3)[skeleton.up]
    seen = np.asarray(x_tmvc.any(axis=(2, 3)))
    bodies = (x_tmvc[seen[:, body], body].astype(np.float64) for body in np.flatnonzero(seen.any(axis=0)))
    poses = [np.median(x_tvc - x_tvc[:, [skeleton.root]], axis=0) for x_tvc in bodies]
    joints = np.concatenate([pose - pose.mean(axis=0) for pose in poses])
    longest = np.linalg.eigh(joints.T @ joints)[1][:, -1]
    longest = longest * np.sign(longest @ described)
    return longest if longest @ described > np.cos(LEAN) else described


def _arrows(x_tmvc: np.ndarray, skeleton: Skeleton, up: np.ndarray) -> list[np.ndarray]:
    """Candidate horizontal directions for left to right in the drawing, best first."""
    seen = np.asarray(x_tmvc.any(axis=(2, 3)))
    arrows = []
    if seen.shape[1] > 1 and seen[:, :2].any(0).all():
        first, second = (x_tmvc[seen[:, body], body, skeleton.root].mean(0) for body in (0, 1))
        arrows.append(second - first)
    if skeleton.pairs and seen[:, 0].any():
        left, right = np.array(skeleton.pairs).T
        bodies = x_tmvc[seen[:, 0], 0]
        arrows.append((bodies[:, left] - bodies[:, right]).mean((0, 1)))
    arrows.append(-np.eye(3)[0] if skeleton.up == 1 else np.eye(3)[0])
    return [arrow - (arrow @ up) * up for arrow in arrows]
