"""pyskl's and mmaction2's `.pkl` files, ntu60_3danno.pkl …: clips by name, and any number of splits.

    split          {"xsub_train": names, "xsub_val": names, …}
    annotations    [{"frame_dir": name, "label": class from 0, "keypoint": (bodies, frames, joints, 3), …}, …]

Numbers are mostly float16, not centred. Joints are read from the file on demand.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stars.data.preprocessed.pickles import Array, load
from stars.data.preprocessed.source import Entry, Preprocessed, is_name, listed
from stars.data.readers import Layout, unreadable
from stars.data.sources import LARGEST, checked

_SIDE = re.compile(r"(?:(\w+)_)?(train|val|test)", re.ASCII)
MOST_SPLITS = 100


@dataclass
class Pyskl(Preprocessed):
    """Clips of a pyskl file."""

    path: Path = Path()

    def clip(self, name: str, entry: Entry) -> np.ndarray:
        with self.path.open("rb") as file:
            x_mtvc = entry.at.read(file, name)
        return np.moveaxis(x_mtvc, 0, 1)


def open_pyskl(root: Path, path: Path, layout: Layout) -> Pyskl:
    """Open a file's clips; `root` is the file or folder that the configuration names.

    Raises:
        InputError: the file is not a pickle of plain data, or has another layout.
    """
    shown = path.name if path == root else path.relative_to(root).as_posix()
    value = checked(shown, lambda: _loaded(path, shown))
    if (
        not isinstance(value, dict)
        or not isinstance(value.get("annotations"), list)
        or not isinstance(value.get("split"), dict)
    ):
        unreadable(shown, None, "a dict with split and annotations", _shown(value))
    sides = _sides(value["split"], shown)
    entries: dict[str, Entry] = {}
    for row, annotation in enumerate(value["annotations"]):
        source = f"{shown}/annotations/{row}"
        entries[source] = _entry(annotation, sides, source, len(layout.joints))
    return Pyskl(**listed(root, entries), path=path)


def _loaded(path: Path, shown: str) -> Any:
    with path.open("rb") as file:
        return load(file, shown)


def _sides(split: dict[Any, Any], shown: str) -> dict[str, str]:
    """Name → its sides in the splits, such as "xsub_train xset_test"."""
    found: dict[str, list[str]] = defaultdict(list)
    if len(split) > MOST_SPLITS:
        unreadable(shown, None, f"at most {MOST_SPLITS} splits", str(len(split)))
    for key, names in split.items():
        known = _SIDE.fullmatch(key) if isinstance(key, str) else None
        if not known or not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
            unreadable(shown, None, "splits like xsub_train and xsub_val, each a list of names", repr(key)[:40])
        side = "_".join(filter(None, (known.group(1), "train" if known.group(2) == "train" else "test")))
        for name in names:
            if side not in found[name]:
                found[name].append(side)
    return {name: " ".join(sides) for name, sides in found.items()}


def _entry(annotation: Any, sides: dict[str, str], source: str, joints: int) -> Entry:
    keys = annotation if isinstance(annotation, dict) else {}
    name, label, x_mtvc = keys.get("frame_dir"), keys.get("label"), keys.get("keypoint")
    if not is_name(name) or type(label) is not int or not isinstance(x_mtvc, Array):
        unreadable(source, None, "a dict with frame_dir, label and keypoint", _shown(annotation))
    shape = x_mtvc.shape
    if len(shape) != 4 or shape[2:] != (joints, 3) or 0 in shape:
        unreadable(source, None, f"keypoint of (bodies, frames, {joints} joints, 3)", f"shape {shape}")
    if shape[1] > LARGEST // (shape[0] * joints * 3 * 8):
        unreadable(source, None, f"clips of at most {LARGEST} bytes", f"shape {shape}")
    return Entry(name, label, sides.get(name, ""), x_mtvc)


def _shown(value: Any) -> str:
    return (
        f"a dict of {', '.join(map(repr, list(value)[:4]))}" if isinstance(value, dict) else f"a {type(value).__name__}"
    )
