"""Labelled clips as vectors: raw joints, and an encoder's features."""

from __future__ import annotations

import hashlib
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stars.config import Joints
from stars.data import common_joints
from stars.data.readers.folder import TABLE
from stars.errors import InputError
from stars.evaluation.joints import positions
from stars.inference.clips import OwnClip, inhabited
from stars.inference.embedder import Embedder
from stars.inference.files import File, column, files, labels, subjects
from stars.inference.layouts import Layouts
from stars.inference.methods import Vectors
from stars.inference.preparation import Preparation

SHOWN = 3  # names in a message


@dataclass(frozen=True, eq=False)
class Labelled:
    """N labelled clips without duplicates.

    Attributes:
        names; labels: (N,) indices into the sorted `actions`; groups: subject of each clip, None if unknown.
        clips: as the encoder reads them; vectors: kind → (N, D) float32.
    """

    names: list[str]
    labels: np.ndarray
    actions: list[str]
    groups: list[str] | None
    clips: list[OwnClip]
    vectors: Mapping[Vectors, np.ndarray]

    @property
    def frames(self) -> int:
        """Median number of frames of the clips."""
        return int(np.median([len(clip.x_tmvc) for clip in self.clips]))


def read(model: Embedder, path: Path | str, group_by: str | None = None) -> Labelled:
    """Read and embed the labelled clips of a folder or zip.

    Args:
        path: its sub-folders are actions, or it has a clips.csv with the columns `file` and `label`.
        group_by: column of clips.csv with the subject, or a regular expression whose first group, or match, in a clip's
            path is the subject; None: the column `subject`, or the subject in file names of a data set.

    Raises:
        InputError: a clip without a label, or without a subject if others have one.
    """
    layout = model.preparation.dataset
    found = files(path, layout)
    named = labels(found, layout)
    if "" in named:
        raise InputError(
            f"{found[named.index('')].name} has no label: put it into a folder named after its action, or into"
            " clips.csv"
        )
    who = subjects(found, layout) if group_by is None else _grouped(found, group_by)
    if "" in who and set(who) != {""}:
        raise InputError(
            f"{found[who.index('')].name}: its subject is unknown, unlike other clips': complete {TABLE}, or set"
            " --group-by"
        )
    facts = {file.name: (label, group) for file, label, group in zip(found, named, who, strict=True)}
    with Layouts(model.preparation).reporting() as layouts:
        clips = _distinct(list(inhabited(found, layouts)), {name: label for name, (label, _) in facts.items()})
    names, features = model.named_features(clips)
    actions = sorted({facts[name][0] for name in names})
    groups = [facts[name][1] for name in names]
    numbers = np.array([actions.index(facts[name][0]) for name in names])
    vectors: dict[Vectors, np.ndarray] = {"joints": joint_vectors(clips, model.preparation), "features": features}
    return Labelled(names, numbers, actions, groups if len(set(groups)) > 1 else None, clips, vectors)


def joint_vectors(clips: Sequence[OwnClip], preparation: Preparation) -> np.ndarray:
    """Raw joints of clips, (N, D) float32, as in `stars.evaluation.joints`."""
    root = common_joints.ROOT if preparation.ingest.joints == "common" else preparation.dataset.root
    return np.stack([positions(clip.x_tmvc, root, Joints().frames) for clip in clips])


def _grouped(found: Sequence[File], group_by: str) -> list[str]:
    """Subject of each file, from a column of clips.csv or a regular expression on its path."""
    source = found[0].source
    table = next((inside for inside in source.files if inside.rpartition("/")[2] == TABLE), None)
    by_file = column(source, table, group_by) if table else None
    if by_file is not None:
        return [by_file.get(file.inside, "") for file in found]
    try:
        matches = [re.search(group_by, file.inside) for file in found]
    except re.error as error:
        raise InputError(
            f"--group-by {group_by}: neither a column of a {TABLE} nor a regular expression ({error}): correct it"
        ) from None
    if None in matches:
        raise InputError(
            f"--group-by {group_by}: no match in {found[matches.index(None)].inside}: use a column of {TABLE}, or"
            " another expression"
        )
    return [match[match.re.groups and 1] for match in matches if match]


def _distinct(clips: list[OwnClip], label: Mapping[str, str]) -> list[OwnClip]:
    """Keep the first of identical clips; a warning lists the others."""
    first: dict[str, OwnClip] = {}
    copies = []
    for clip in clips:
        kept = first.setdefault(hashlib.sha256(clip.x_tmvc.tobytes()).hexdigest(), clip)
        if kept is not clip:
            if label[kept.name] != label[clip.name]:
                raise InputError(
                    f"{clip.name}, labelled {label[clip.name]!r}, is a copy of {kept.name}, labelled"
                    f" {label[kept.name]!r}: correct one label"
                )
            copies.append(f"{clip.name} (of {kept.name})")
    if copies:
        more = f" and {len(copies) - SHOWN} more" if len(copies) > SHOWN else ""
        warnings.warn(f"copies of other clips are ignored: {', '.join(copies[:SHOWN])}{more}", stacklevel=2)
    return list(first.values())
