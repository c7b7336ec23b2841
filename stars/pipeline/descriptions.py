"""Descriptions of data sets and joint layouts: where their files are, and how they are read.

The working directory's `config/` comes before the one in the package.
"""

from __future__ import annotations

import functools
from pathlib import Path

from stars import shipped
from stars.config import Config
from stars.config.reading import merge, nearest, read_yaml, validate
from stars.data import common_joints
from stars.data.dataset import Dataset
from stars.data.skeleton import Skeleton
from stars.errors import InputError
from stars.pipeline.once import once


def folders(kind: str) -> tuple[Path, Path]:
    """Folders of files of config/{kind}: in the working directory, then in the package."""
    return Path("config") / kind, shipped.FOLDER / "config" / kind


def find(kind: str, name: str, key: str) -> Path:
    """A file of config/{kind} by name, from the working directory or else from the package, or by a path ending in
    .yaml.

    Raises:
        InputError: there is none; it says what `key` of the configuration may be.
    """
    paths = [Path(name)] if name.endswith(".yaml") else [folder / f"{name}.yaml" for folder in folders(kind)]
    found = next((path for path in paths if path.exists()), None)
    if found is None:
        raise InputError(
            f"{key}: no {name} in"
            f" config/{kind}{nearest(name, sorted({file.stem for one in folders(kind) for file in one.glob('*.yaml')}))}"
        )
    return found


@once
def dataset(config: Config, data: str) -> Dataset:
    """The description that `data.<name>.dataset` names: a name in config/datasets, or a path ending in .yaml."""
    return describe(config.data[data].dataset, f"data.{data}.dataset")


def describe(name: str, key: str) -> Dataset:
    """The description of that name in config/datasets, or in a file whose path ends in .yaml; `key` is for messages.

    `skeleton: NAME` in it includes the joints, parents, mirror pairs and root of config/skeletons/NAME.yaml.
    """
    path = find("datasets", name, key)
    given = read_yaml(path)
    if skeleton := given.pop("skeleton", None):
        given = merge(read_yaml(find("skeletons", str(skeleton), f"{path}: skeleton")), given)
    return validate(Dataset, given, str(path))


def skeleton(name: str, key: str) -> Skeleton:
    """The layout of joints of that name in config/skeletons, or in a file whose path ends in .yaml; its keys
    override those of its `skeleton: NAME`.
    """
    path = find("skeletons", name, key)
    given = read_yaml(path)
    if below := given.pop("skeleton", None):
        given = merge(read_yaml(find("skeletons", str(below), f"{path}: skeleton")), given)
    return validate(Skeleton, given, str(path))


@functools.cache
def skeletons() -> dict[str, Skeleton]:
    """The named layouts, those with the most joints first."""
    names = {path.stem for folder in folders("skeletons") for path in folder.glob("*.yaml")}
    found = {name: skeleton(name, "skeleton") for name in sorted(names)}
    return dict(sorted(found.items(), key=lambda entry: -len(entry[1].joints)))


@once
def stored(config: Config, data: str) -> Dataset:
    """The description of the stored clips: on the common joints, if `ingest.joints` is common."""
    found = dataset(config, data)
    if config.data[data].ingest.joints == "file":
        return found
    try:
        common_joints.sources(found.joints)
    except InputError as error:
        raise InputError(f"data.{data}.{error}") from None
    return common_joints.described(found)
