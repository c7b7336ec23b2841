"""Pictures of one clip: a strip (PNG), an animation (GIF), and the outcome of denoising, drawn and in words."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stars.config import Ingest, Settings, key
from stars.data import common_joints
from stars.data.convert import bodies_of
from stars.data.dataset import Dataset
from stars.data.preprocessed.find import KINDS
from stars.data.readers import Layout, reader
from stars.data.sources import Source
from stars.data.store import SIDES, TABLE, ClipStore
from stars.errors import InputError
from stars.inspect import animation, strip
from stars.inspect.content import known_numbers
from stars.inspect.scene import Scene, explain, scene
from stars.inspect.skeleton import Skeleton
from stars.provenance.record import recording


class ClipStage(Settings):
    """Settings of a clip's pictures; its files are the input."""

    name: str = key(..., "the clip's name; of a raw file, its name")
    dataset: Dataset
    ingest: Ingest
    frames: int = key(8, "poses in the strip", ge=1)


@dataclass(frozen=True)
class _Found:
    scene: Scene
    title: str
    notes: list[str]
    dataset: Dataset  # of the scene's joints


def of_store(clips: Path, raw: Path, out: Path, settings: ClipStage) -> list[str]:
    """Draw a clip of the store in `clips`, with the outcome of denoising if its raw file is in `raw`; return the lines
    to print.

    Writes NAME.png, NAME.gif and NAME.record.json into folder `out`.

    Raises:
        InputError: no clip of that name, or a damaged store or raw file.
    """
    return _write(_stored(clips, raw, settings), {"clips": clips / TABLE}, out, settings)


def of_file(path: Path, out: Path, settings: ClipStage) -> list[str]:
    """The same for a raw file, showing at most `ingest.max_frames` frames.

    Raises:
        InputError: it cannot be read, or has no body.
    """
    source = Source(path.parent, {path.name: None})
    found = _scene(source, path.name, settings)
    if found is None:
        raise InputError(f"{path}: no body in any frame: choose another file")
    return _write(_Found(found, path.name, [], settings.dataset), {"raw": path}, out, settings)


def _stored(clips: Path, raw: Path, settings: ClipStage) -> _Found:
    store = ClipStore.open(clips)
    if settings.name not in store.names:
        raise InputError(f"{clips / TABLE} has no clip {settings.name}: choose a name from its first column")
    index = store.names.index(settings.name)
    row = store.table.iloc[index]
    title = f"{row['name']}: {', '.join([row['action_name'], *known_numbers(row)])}"
    kept_of = common_joints.described(settings.dataset) if settings.ingest.joints == "common" else settings.dataset
    kept = Scene(np.array(store[index][:, : row["bodies"]]))
    file = row["source"]
    if SIDES in store.table or settings.dataset.reader in KINDS:
        return _Found(kept, title, ["its bodies were separated before ingest: the raw file is preprocessed"], kept_of)
    source = Source.open(raw, reader(settings.dataset.reader).SUFFIXES) if raw.exists() else None
    if source is None or file not in source.files:
        return _Found(kept, title, [f"{file} is not in {raw}: the outcome of denoising is unknown"], kept_of)
    found = _scene(source, file, settings)
    if found is None or not found.decisions:
        return _Found(kept, title, [], kept_of)
    changed = source.sha256[file] != row["sha256"]
    notes = [f"{file} has changed since the clips were made from it: ingest it again"] if changed else []
    return _Found(found, title, notes, settings.dataset)


def _scene(source: Source, file: str, settings: ClipStage) -> Scene | None:
    """The scene of a raw file, as ingest keeps it."""
    layout, keys = Layout.of(settings.dataset), settings.ingest
    raw = reader(layout.reader).read(source.read(file), file, layout)
    source.close()
    return scene(raw, keys.denoise, bodies_of(layout, keys), keys.max_frames)


def _write(found: _Found, inputs: dict[str, Path], out: Path, settings: ClipStage) -> list[str]:
    dataset, denoise = found.dataset, settings.ingest.denoise
    stem = re.sub(r"[^\w.-]", "_", settings.name)
    png, gif = f"{stem}.png", f"{stem}.gif"
    values = settings.model_dump(mode="json")
    with recording(out, "stars.inspect.clip", values, inputs, [png, gif], f"{stem}.record.json"):
        drawn = found.scene, Skeleton.of(dataset), denoise, dataset.fps, found.title
        strip.write(out / png, *drawn, settings.frames)
        animation.write(out / gif, *drawn)
    length, bodies = found.scene.x_tmvc.shape[:2]
    about = f"{found.title}; {length} frames, {length / dataset.fps:.2f} s, bodies: {bodies}"
    return [about, *explain(found.scene, denoise), *found.notes, str(out / png), str(out / gif)]
