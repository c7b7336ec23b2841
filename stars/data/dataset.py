"""Description of a data set: joints, actions, splits. Each is a YAML file in config/datasets; no code depends on a
data set's name.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from pydantic import Field, model_validator

from stars.config import Settings, key
from stars.data.skeleton import AXES, PLAIN, UNIT, Axis, Unit, check, check_axes

FOLDER = Path("config/datasets")
SIMULATOR = "stars simulate"  # `home` of data sets that are simulated, not downloaded
ReaderName: TypeAlias = Literal["ntu", "pku", "nw_ucla", "utd_mhad", "folder", "npz", "pyskl", "npy"]


class Split(Settings):
    """Defines the training clips. All other clips are test clips, unless `test` or `actions` excludes them."""

    title: str = key(..., "name in tables, e.g. XSub")
    by: Literal["subject", "camera", "setup", "video"] = key(
        ..., "column of clips.csv that defines the split; video: the raw file's name without its extension"
    )
    train: tuple[int, ...] | Literal["even"] | None = key(None, "values of the training clips; even: the even ones")
    list_file: str | None = key(
        None,
        "instead of train: a text file among the raw files, without .txt; its second line lists the training videos",
    )
    test: tuple[int, ...] | None = key(None, "values of the test clips; null: all that are not in train")
    actions: tuple[int, ...] | None = key(None, "action numbers included; null: all")
    counts: tuple[int, int] | None = key(None, "training and test clips of the complete data set")
    novel_counts: tuple[int, int] | None = key(None, "training and test clips of the `novel` classes")

    @model_validator(mode="after")
    def _one_rule(self) -> Split:
        if (self.train is None) == (self.list_file is None) or (self.list_file is None) == (self.by == "video"):
            raise ValueError("set either by: video and list_file, or another by and train")
        if self.test is not None and (not isinstance(self.train, tuple) or {*self.train} & {*self.test}):
            raise ValueError("test requires train as a list of values, and must not overlap it")
        return self


class Dataset(Settings):
    """Description of a data set; indices of joints count from 0."""

    title: str = key(..., "name in tables, e.g. NTU-60")
    home: str = key(..., "where to download it")
    published: bool = key(
        False,
        "the paper reports results on it: those on complete data (`counts` of the split) appear in the paper's columns",
    )
    reader: ReaderName = key(
        ...,
        "layout of its raw files, a module in stars/data/readers; npz, pyskl, npy: preprocessed"
        " (stars/data/preprocessed)",
    )
    fps: Annotated[float, Field(gt=0)] = key(30.0, "frames per second")
    up: Literal["y", "z"] = key("y", "axis that points up")
    bodies: int = key(1, "maximum number of bodies in a clip", ge=1)
    joints: tuple[str, ...] = key(..., "joint names in file order", min_length=1)
    parents: tuple[int, ...] = key(..., "each joint's parent; the root is its own parent")
    mirror: tuple[tuple[int, int], ...] = key((), "left and right joint of each pair")
    root: int = key(..., "joint subtracted when centring", ge=0)
    axes: tuple[Axis, Axis, Axis] = key(PLAIN, f"{AXES}; for the folder layout")
    unit: Unit = key("m", f"{UNIT}; for the folder layout")
    centre: Literal["first_frame_root", "none"] = key("first_frame_root", "default of ingest.centre")
    single_body: Literal["zeros", "copy"] = key("zeros", "default of ingest.single_body")
    actions: dict[int, str] = key(
        ..., "action number in file names → name; labels from 0 in order of the numbers", min_length=1
    )
    two_person: tuple[int, ...] = key((), "action numbers of two-person actions")
    novel: tuple[int, ...] = key(
        (), "action numbers classified by the few-shot protocol, absent from the encoder's data set"
    )
    subjects: tuple[int, ...] | None = key(None, "valid subject numbers; null: any")
    setups: tuple[int, ...] | None = key(None, "valid setup numbers; null: any")
    splits: dict[str, Split] = key(..., "evaluation splits by name", min_length=1)
    clips: int | None = key(None, "clips of the complete data set, without missing ones")
    listed: int | None = key(None, "samples that the authors list as missing or incomplete skeletons")
    names: str | None = key(
        None,
        "format of a clip's name, e.g. S{setup:03}C{camera:03}P{subject:03}R{replication:03}A{action:03}, if each"
        " subject of a setup performed all its actions and replications in front of all its cameras; used to name"
        " missing clips",
    )

    @model_validator(mode="after")
    def _consistent(self) -> Dataset:
        check(self.joints, self.parents, self.mirror, self.root)
        check_axes(self.axes)
        if not set(self.two_person) <= set(self.actions):
            raise ValueError("two_person contains an action that is not in actions")
        if not set(self.novel) <= set(self.actions):
            raise ValueError("novel contains an action that is not in actions")
        if odd := [name for name, split in self.splits.items() if not {*(split.actions or ())} <= {*self.actions}]:
            raise ValueError(f"splits.{odd[0]}.actions contains an action that is not in actions")
        return self


def obtain(home: str, name: str) -> str:
    """What to do if the raw files of data set `name` are missing; `home` is its description's."""
    if home.startswith(SIMULATOR):
        return f"set data.{name}.simulate instead of data.{name}.raw, or name the zip that `{SIMULATOR}` writes"
    return f"download the data set from {home} and set data.{name}.raw to its folder or zip"
