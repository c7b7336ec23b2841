"""A data set's own facts: joints, actions, splits. One YAML file each in config/datasets; no code knows a data set by name."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from stars.config import Settings, key

FOLDER = Path("config/datasets")


class Split(Settings):
    """Which clips train. Every clip that does not train tests."""

    title: str = key(..., "name in tables, e.g. XSub")
    by: Literal["subject", "camera", "setup", "file"] = key(..., "column of clips.csv that decides")
    train: tuple[int, ...] | Literal["even"] = key(..., "values whose clips train; even: the even ones")
    counts: tuple[int, int] | None = key(None, "training and test clips of the complete data set")


class Dataset(Settings):
    """Description of a data set; indices of joints count from 0."""

    title: str = key(..., "name in tables, e.g. NTU-60")
    home: str = key(..., "where its owners give it out")
    reader: Literal["ntu", "utd_mhad"] = key(..., "layout of its raw files: the module in stars/data/readers")
    fps: Annotated[float, Field(gt=0)] = key(30.0, "frames a second")
    up: Literal["y", "z"] = key("y", "axis that points up")
    bodies: int = key(1, "bodies a clip can hold", ge=1)
    joints: tuple[str, ...] = key(..., "joint names in file order", min_length=1)
    parents: tuple[int, ...] = key(..., "each joint's parent; the root's is itself")
    mirror: tuple[tuple[int, int], ...] = key((), "left and right joint of each pair")
    root: int = key(..., "joint that centring subtracts", ge=0)
    centre: Literal["first_frame_root", "none"] = key("first_frame_root", "default of ingest.centre")
    single_body: Literal["zeros", "copy"] = key("zeros", "default of ingest.single_body")
    actions: dict[int, str] = key(..., "action number in file names → name; labels are their order by number, from 0", min_length=1)
    two_person: tuple[int, ...] = key((), "action numbers in which two people act together")
    subjects: tuple[int, ...] | None = key(None, "subject numbers there are; null: any")
    splits: dict[str, Split] = key(..., "evaluation splits by name", min_length=1)
    clips: int | None = key(None, "clips of the complete data set, after the missing ones are left out")

    @model_validator(mode="after")
    def _consistent(self) -> Dataset:
        joints = len(self.joints)
        if len(self.parents) != joints:
            raise ValueError(f"{len(self.parents)} parents for {joints} joints")
        named = {*self.parents, self.root, *(joint for pair in self.mirror for joint in pair)}
        if not named <= set(range(joints)):
            raise ValueError(f"joint {max(named)} is named, but there are {joints} joints, 0 to {joints - 1}")
        if not set(self.two_person) <= set(self.actions):
            raise ValueError("two_person names an action that actions does not have")
        return self
