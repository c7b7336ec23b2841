"""A folder of labelled clips as a few vectors a clip: its raw joints, and an encoder's features."""

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
    """Labelled clips, N of them, no two of which are copies.

    Attributes:
        names; labels: (N,) numbers of `actions`, which are sorted; groups: who acts in each, None where that is not known.
        clips: as the encoder reads them; vectors: (N, D) float32 of each kind.
    """

    names: list[str]
    labels: np.ndarray
    actions: list[str]
    groups: list[str] | None
    clips: list[OwnClip]
    vectors: Mapping[Vectors, np.ndarray]

    @property
    def frames(self) -> int:
        """Median length of a clip."""
        return int(np.median([len(clip.x_tmvc) for clip in self.clips]))


def read(model: Embedder, path: Path | str, group_by: str | None = None) -> Labelled:
    """The labelled clips of a folder or zip, embedded.

    Args:
        path: its sub-folders are actions, or it has a clips.csv with the columns `file` and `label`.
        group_by: column of that clips.csv with who acts, or a regular expression whose first group, or match, in a clip's path says it; None: the
            column `subject`, or the files' names where they are a data set's own.

    Raises:
        InputError: a clip without a label, or of nobody where others are of somebody.
    """
    layout = model.preparation.dataset
    found = files(path, layout)
    told = labels(found, layout)
    if "" in told:
        raise InputError(f"{found[told.index('')].name} has no label: put it into a folder named as its action, or into clips.csv")
    who = subjects(found, layout) if group_by is None else _grouped(found, group_by)
    if "" in who and set(who) != {""}:
        raise InputError(
            f"{found[who.index('')].name}: nothing says who acts in it, as it does of other clips: complete {TABLE}, or give --group-by"
        )
    facts = {file.name: (label, group) for file, label, group in zip(found, told, who, strict=True)}
    clips = _distinct(list(inhabited(found, Layouts(model.preparation))), {name: label for name, (label, _) in facts.items()})
    names, features = model.named_features(clips)
    actions = sorted({facts[name][0] for name in names})
    groups = [facts[name][1] for name in names]
    numbers = np.array([actions.index(facts[name][0]) for name in names])
    vectors: dict[Vectors, np.ndarray] = {"joints": joint_vectors(clips, model.preparation), "features": features}
    return Labelled(names, numbers, actions, groups if len(set(groups)) > 1 else None, clips, vectors)


def joint_vectors(clips: Sequence[OwnClip], preparation: Preparation) -> np.ndarray:
    """Raw joints of clips, (N, D) float32, as `stars.evaluation.joints` has them."""
    root = common_joints.ROOT if preparation.ingest.joints == "common" else preparation.dataset.root
    return np.stack([positions(clip.x_tmvc, root, Joints().frames) for clip in clips])


def _grouped(found: Sequence[File], group_by: str) -> list[str]:
    """Who acts in each file, by a column of clips.csv or else by a regular expression on its path."""
    source = found[0].source
    table = next((inside for inside in source.files if inside.rpartition("/")[2] == TABLE), None)
    told = column(source, table, group_by) if table else None
    if told is not None:
        return [told.get(file.inside, "") for file in found]
    try:
        matches = [re.search(group_by, file.inside) for file in found]
    except re.error as error:
        raise InputError(f"--group-by {group_by}: no column of a {TABLE}, and no regular expression ({error})") from None
    if None in matches:
        raise InputError(
            f"--group-by {group_by}: nothing in {found[matches.index(None)].inside} matches: give a column of {TABLE}, or an expression"
        )
    return [match[match.re.groups and 1] for match in matches if match]


def _distinct(clips: list[OwnClip], label: Mapping[str, str]) -> list[OwnClip]:
    """The first of identical clips; a warning says how many others are left out."""
    first: dict[str, OwnClip] = {}
    copies = []
    for clip in clips:
        kept = first.setdefault(hashlib.sha256(clip.x_tmvc.tobytes()).hexdigest(), clip)
        if kept is not clip:
            if label[kept.name] != label[clip.name]:
                raise InputError(
                    f"{clip.name} is a copy of {kept.name}, but {label[clip.name]!r} there is {label[kept.name]!r}: correct one of them"
                )
            copies.append(f"{clip.name} (of {kept.name})")
    if copies:
        more = f" and {len(copies) - SHOWN} more" if len(copies) > SHOWN else ""
        warnings.warn(f"copies of other clips are left out: {', '.join(copies[:SHOWN])}{more}", stacklevel=2)
    return list(first.values())
