"""A data set's own facts: joints, actions, splits. One YAML file each in config/datasets; no code knows a data set by name."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from pydantic import Field, model_validator

from stars.config import Settings, key
from stars.data.skeleton import AXES, PLAIN, UNIT, Axis, Unit, check, check_axes

FOLDER = Path("config/datasets")
SIMULATOR = "stars simulate"  # begins `home` where there is nothing to get
ReaderName: TypeAlias = Literal["ntu", "pku", "nw_ucla", "utd_mhad", "folder", "npz", "pyskl", "npy"]


class Split(Settings):
    """Which clips train. Every clip that does not train tests, unless `test` or `actions` leaves it out."""

    title: str = key(..., "name in tables, e.g. XSub")
    by: Literal["subject", "camera", "setup", "video"] = key(
        ..., "column of clips.csv that decides; video: the raw file's name without its ending"
    )
    train: tuple[int, ...] | Literal["even"] | None = key(None, "values whose clips train; even: the even ones")
    list_file: str | None = key(
        None, "instead of train: a text file among the raw files, its name without .txt; the second line lists the training videos"
    )
    test: tuple[int, ...] | None = key(None, "values whose clips test; null: all that do not train")
    actions: tuple[int, ...] | None = key(None, "action numbers whose clips it has; null: all")
    counts: tuple[int, int] | None = key(None, "training and test clips of the complete data set")
    novel_counts: tuple[int, int] | None = key(None, "the same of the classes that are `novel`")

    @model_validator(mode="after")
    def _one_rule(self) -> Split:
        if (self.train is None) == (self.list_file is None) or (self.list_file is None) == (self.by == "video"):
            raise ValueError("give train with a number's column, or by: video with list_file")
        if self.test is not None and (not isinstance(self.train, tuple) or {*self.train} & {*self.test}):
            raise ValueError("test goes with train as a list of values, and shares none with it")
        return self


class Dataset(Settings):
    """Description of a data set; indices of joints count from 0."""

    title: str = key(..., "name in tables, e.g. NTU-60")
    home: str = key(..., "where its owners give it out")
    published: bool = key(
        False, "the paper reports on it: results on its complete data (`counts` of the split) stand in the paper's own columns"
    )
    reader: ReaderName = key(
        ..., "layout of its raw files: the module in stars/data/readers; npz, pyskl, npy: preprocessed ones (stars/data/preprocessed)"
    )
    fps: Annotated[float, Field(gt=0)] = key(30.0, "frames a second")
    up: Literal["y", "z"] = key("y", "axis that points up")
    bodies: int = key(1, "bodies a clip can hold", ge=1)
    joints: tuple[str, ...] = key(..., "joint names in file order", min_length=1)
    parents: tuple[int, ...] = key(..., "each joint's parent; the root's is itself")
    mirror: tuple[tuple[int, int], ...] = key((), "left and right joint of each pair")
    root: int = key(..., "joint that centring subtracts", ge=0)
    axes: tuple[Axis, Axis, Axis] = key(PLAIN, f"{AXES}; of the folder layout")
    unit: Unit = key("m", f"{UNIT}; of the folder layout")
    centre: Literal["first_frame_root", "none"] = key("first_frame_root", "default of ingest.centre")
    single_body: Literal["zeros", "copy"] = key("zeros", "default of ingest.single_body")
    actions: dict[int, str] = key(..., "action number in file names → name; labels are their order by number, from 0", min_length=1)
    two_person: tuple[int, ...] = key((), "action numbers in which two people act together")
    novel: tuple[int, ...] = key((), "action numbers that the few-shot protocol tells apart, which its encoder's data set does not have")
    subjects: tuple[int, ...] | None = key(None, "subject numbers there are; null: any")
    setups: tuple[int, ...] | None = key(None, "setup numbers there are; null: any")
    splits: dict[str, Split] = key(..., "evaluation splits by name", min_length=1)
    clips: int | None = key(None, "clips of the complete data set, after the missing ones are left out")
    listed: int | None = key(None, "samples that the authors list as missing or incomplete skeletons")
    names: str | None = key(
        None,
        "form of a clip's name, e.g. S{setup:03}C{camera:03}P{subject:03}R{replication:03}A{action:03}, where each subject of a setup did all of its "
        "actions and replications before all of its cameras: clips that are not there can then be named",
    )

    @model_validator(mode="after")
    def _consistent(self) -> Dataset:
        check(self.joints, self.parents, self.mirror, self.root)
        check_axes(self.axes)
        if not set(self.two_person) <= set(self.actions):
            raise ValueError("two_person names an action that actions does not have")
        if not set(self.novel) <= set(self.actions):
            raise ValueError("novel names an action that actions does not have")
        if odd := [name for name, split in self.splits.items() if not {*(split.actions or ())} <= {*self.actions}]:
            raise ValueError(f"splits.{odd[0]}.actions names an action that actions does not have")
        return self


def obtain(home: str, name: str) -> str:
    """What to do where the raw files of data set `name` are not there; `home` as its description has it."""
    if home.startswith(SIMULATOR):
        return f"give data.{name}.simulate in place of data.{name}.raw, or the zip that `{SIMULATOR}` writes"
    return f"get the data set from {home} and name its folder or zip in data.{name}.raw"
