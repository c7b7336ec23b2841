"""Layout of a file's joints: fixed by its file type, set by --skeleton, or recognised by number or names of joints."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from stars.data import common_joints, completion
from stars.data.convert import acting
from stars.data.readers import Layout, ReaderName, reader
from stars.data.skeleton import Skeleton
from stars.errors import InputError
from stars.inference.preparation import Preparation
from stars.pipeline.descriptions import describe, skeletons

# Layout of files not named as the data set's, by suffix.
ENDINGS: dict[str, ReaderName] = {
    ".skeleton": "ntu",
    ".mat": "utd_mhad",
    ".npy": "folder",
    ".json": "folder",
    ".csv": "folder",
}
NATIVE = {".skeleton": "ntu120", ".mat": "utd_mhad"}  # description of such files


def of_skeleton(found: Skeleton, dataset: Layout) -> Layout:
    """The layout of a sensor's files, with other keys as in `dataset`."""
    keys = {
        "joints": found.joints,
        "root": found.root,
        "axes": found.axes,
        "unit": found.unit,
        "fps": found.fps or dataset.fps,
    }
    return dataset.model_copy(update={**keys, "reader": "folder", "up": "y"})


def native(inside: str, dataset: Layout) -> Layout:
    """The layout of a file according to its name: the data set's, its file type's, or the data set's joints in an
    array.
    """
    if inside.endswith(reader(dataset.reader).SUFFIXES):
        return dataset
    ending = next(ending for ending in ENDINGS if inside.endswith(ending))
    if ending in NATIVE:
        return _native(ending).model_copy(update={"bodies": dataset.bodies, "reader": ENDINGS[ending]})
    return dataset.model_copy(update={"reader": "folder"})


@functools.cache
def _native(ending: str) -> Layout:
    return Layout.of(describe(NATIVE[ending], ending))


class Layouts:
    """Detects the layouts of one call's files, usually from one sensor: the last file's layout is tried first."""

    def __init__(self, preparation: Preparation, quiet: bool = False) -> None:
        self.preparation, self.quiet = preparation, quiet
        self.last: tuple[str, Layout] | None = None
        self.said: set[str] = set()
        self.doubts: dict[str, list[str]] = {}  # what is suspicious, in which files

    def read(self, data: bytes, inside: str, name: str) -> tuple[np.ndarray, Layout]:
        """Acting bodies (T, M, V, 3) of a file's bytes, on its joints, and its layout.

        Raises:
            InputError: no layout fits; reports the error for the encoder's layout.
        """
        fault: InputError | None = None
        for called, layout in self._tried(inside):
            try:
                x_tmvc = acting(data, name, layout, self.preparation.ingest)
            except InputError as error:
                fault = fault if called else error
                continue
            self.last = (called, layout)
            self._say(called, layout, name)
            return x_tmvc, layout
        assert fault is not None
        raise fault

    def _tried(self, inside: str) -> Iterator[tuple[str, Layout]]:
        """Candidate layouts of a file, with names of the recognised ones."""
        dataset, sensor = self.preparation.dataset, self.preparation.skeleton
        own = native(inside, dataset)
        if own.reader != "folder" or sensor is not None:
            yield "", own if sensor is None or own.reader != "folder" else of_skeleton(sensor, dataset)
            return
        if self.last is not None:
            yield self.last
        yield "", own
        for called, found in skeletons().items():
            yield called, of_skeleton(found, dataset)
        yield (
            "common joints",
            dataset.model_copy(update={"reader": "folder", "joints": common_joints.JOINTS, "root": common_joints.ROOT}),
        )

    def wanted(self, x_tmvc: np.ndarray, layout: Layout, name: str) -> np.ndarray:
        """Bodies of a layout (T, M, V, 3) on the encoder's joints; InputError if one cannot be derived."""
        joints = wanted_joints(self.preparation)
        if layout.joints == joints:
            return x_tmvc
        if gone := completion.lacking(layout.joints, joints):
            raise InputError(
                f"{name}: the encoder needs {joints_of(gone)}, which cannot be derived from these {len(layout.joints)}"
                " joints: use an encoder on the common joints, which `snakemake --cores 2 --configfile"
                " config/common.yaml` trains"
            )
        made = completion.made(layout.joints, joints)
        self._once(
            f"the encoder's {joints_of(made)} {'is' if len(made) == 1 else 'are'} derived from other joints"
            if made
            else ""
        )
        if self.preparation.ingest.joints == "common" and x_tmvc.size:
            return common_joints.to_common(x_tmvc, layout.joints)
        return completion.complete(x_tmvc, layout.joints, joints)

    def _say(self, called: str, layout: Layout, name: str) -> None:
        if called:
            turned = "" if layout.axes == ("x", "y", "z") else f", axes {' '.join(layout.axes)}"
            self._once(
                f"{len(layout.joints)} joints, read as {called}{turned}; name another layout with --skeleton", name
            )

    def _once(self, text: str, name: str = "") -> None:
        if text and text not in self.said:
            self.said.add(text)
            self.warn(f"{name}: {text}" if name else text)

    def doubt(self, text: str, name: str) -> None:
        """Collect what is suspicious about a file, for `reporting`."""
        self.doubts.setdefault(text, []).append(name)

    @contextmanager
    def reporting(self) -> Iterator[Layouts]:
        """At its end, one warning for each thing that is suspicious, with the first file and the number of others."""
        try:
            yield self
        finally:
            for text, names in self.doubts.items():
                more = f" and {len(names) - 1} more" if len(names) > 1 else ""
                self.warn(f"{names[0]}{more}: {text}")
            self.doubts.clear()

    def warn(self, text: str) -> None:
        """Warn, unless these files were read before."""
        if not self.quiet:
            warnings.warn(text, stacklevel=2)


def wanted_joints(preparation: Preparation) -> tuple[str, ...]:
    """The encoder's joints."""
    return common_joints.JOINTS if preparation.ingest.joints == "common" else preparation.dataset.joints


def joints_of(names: list[str]) -> str:
    """Names of joints as text."""
    return ", ".join(names[:-1]) + (" and " if len(names) > 1 else "") + names[-1]
