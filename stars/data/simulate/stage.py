"""Settings of simulated raw files: the simulation's, and the description's of clips and layout."""

from __future__ import annotations

from stars.config import Settings, Simulate
from stars.data.dataset import Dataset, ReaderName
from stars.data.simulate.kinematics import NAMES, OLDER_NAMES
from stars.data.skeleton import Axis, Unit
from stars.errors import InputError, shown


class Described(Settings):
    """The part of a data set's description that the simulator reads."""

    reader: ReaderName
    bodies: int
    joints: tuple[str, ...]
    axes: tuple[Axis, Axis, Axis]
    unit: Unit
    actions: dict[int, str]
    subjects: tuple[int, ...] | None
    lists: tuple[str, ...]  # files that list the training videos of a split

    @classmethod
    def of(cls, dataset: Dataset) -> Described:
        """The part of a description that determines the raw files."""
        facts = dataset.model_dump(include=set(cls.model_fields))
        return cls(**facts, lists=tuple(split.list_file for split in dataset.splits.values() if split.list_file))


class SimulateStage(Simulate):
    """Settings of simulated raw files."""

    dataset: Described

    @classmethod
    def of(cls, dataset: Dataset, settings: Simulate) -> SimulateStage:
        """Settings for a data set, written in its layout."""
        return cls(dataset=Described.of(dataset), **settings.model_dump())

    @property
    def order(self) -> list[int]:
        """Index of the performer's joint for each joint of the description; InputError for an unknown joint."""
        names = [OLDER_NAMES.get(name, name) for name in self.dataset.joints]
        if unknown := [name for name in names if name not in NAMES]:
            raise InputError(
                f"the simulator has no joint {shown(unknown[0])}: use Kinect's joints,"
                f" {', '.join((*NAMES, *OLDER_NAMES))}"
            )
        return [NAMES.index(name) for name in names]
