"""A clip store in the layouts that other code reads: CTR-GCN's and MAMP's `.npz`, pyskl's `.pkl`, ST-GCN's arrays. Nothing is held in memory but a clip.

    DATA_SPLIT.npz                                     a file a split, its two sides
    DATA.pkl                                           one file with every clip, and every split by name
    SPLIT/train_data_joint.npy, train_label.pkl, …     a folder a split; val is the test side

`npz`, `pyskl` and `npy` beside this module say what is in these files, and read them.
"""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from stars.config import Settings
from stars.data.preprocessed.find import Kind
from stars.data.store import TABLE, ClipStore
from stars.errors import InputError
from stars.provenance.files import atomic, read_json, read_npy
from stars.provenance.record import recording

FRAMES = 300  # of every padded clip, as other code expects; more where a clip is longer
EARLIEST = (1980, 1, 1, 0, 0, 0)  # the date of every file in an archive, so that equal clips give equal bytes
SIDES = {"train": "train", "test": "val"}
PROTOCOL = 3  # of pickles: the last one in which parts written one by one make a whole, since nothing in it counts bytes or objects
_ARRAY, _OLD_ARRAY = b"cnumpy._core.multiarray\n_reconstruct\n", b"cnumpy.core.multiarray\n_reconstruct\n"  # the name that any NumPy knows


class ExportStage(Settings):
    """Everything that exported clips depend on but the store and its splits."""

    format: Kind
    splits: tuple[str, ...]


class _Told(NamedTuple):
    """What the store's record says of it: the data set's name, its number of classes, and whether a clip of one person holds it twice."""

    name: str
    classes: int
    copies: bool


def export_clips(clips: Path, splits: Path, out: Path, kind: Kind, chosen: Sequence[str] = ()) -> list[str]:
    """Write the clips of a store in layout `kind` into folder `out`, with a record; the names of the files written.

    Args:
        splits: folder of the splits' files; chosen: names of those that are written, none: all.

    Raises:
        InputError: no split, or no store with its record.
    """
    store, told = ClipStore.open(clips), _told(clips)
    rows = _rows(splits, chosen)
    files = _FILES[kind](told.name, tuple(rows))
    inputs = {"clips": clips / TABLE, "record": clips / "record.json"}
    inputs |= {f"{name}_{side}": splits / f"{name}_{side}.npy" for name in rows for side in SIDES}
    settings = ExportStage(format=kind, splits=tuple(rows)).model_dump(mode="json")
    with recording(out, "stars.data.preprocessed.export", settings, inputs, files, f"{told.name}_{kind}.record.json") as notes:
        _WRITE[kind](store, told, rows, out)
        notes["clips"] = {name: {side: len(found) for side, found in sides.items()} for name, sides in rows.items()}
    return files


def _told(clips: Path) -> _Told:
    record = read_json(clips / "record.json")
    try:
        settings = record["settings"]
        layout, keys = settings["dataset"], settings["ingest"]
        return _Told(settings["name"], len(layout["actions"]), (keys["single_body"] or layout["single_body"]) == "copy")
    except (KeyError, TypeError):
        raise InputError(f"{clips / 'record.json'} is not the record of a clip store: ingest again") from None


def _rows(splits: Path, chosen: Sequence[str]) -> dict[str, dict[str, np.ndarray]]:
    """Split → side → rows of the store."""
    known = sorted(path.name.removesuffix("_train.npy") for path in splits.glob("*_train.npy"))
    if not known:
        raise InputError(f"{splits} holds no split: make one with `snakemake` or `stars split`, and name its folder with --splits")
    if unknown := [name for name in chosen if name not in known]:
        raise InputError(f"--split {unknown[0]}: {splits} has {', '.join(known)}")
    return {name: {side: read_npy(splits / f"{name}_{side}.npy") for side in SIDES} for name in chosen or known}


def _padded(store: ClipStore, rows: np.ndarray) -> Iterator[np.ndarray]:
    """Clips (frames, M, V, 3) with zeros after their last frame, one after another in the same array."""
    x_tmvc = np.zeros((max(FRAMES, int(store.lengths.max())), store.bodies, store.joints, 3), np.float32)
    for row in rows:
        length = int(store.lengths[row])
        x_tmvc[:length], x_tmvc[length:] = store.read(row), 0
        yield x_tmvc


def _write_npz(store: ClipStore, told: _Told, rows: dict[str, dict[str, np.ndarray]], out: Path) -> None:
    for split, sides in rows.items():
        with atomic(out / f"{told.name}_{split}.npz") as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
            for side, chosen in sides.items():
                frames = max(FRAMES, int(store.lengths.max()))
                with _member(archive, f"x_{side}.npy") as file:
                    _head(file, np.float32, (len(chosen), frames, store.bodies * store.joints * 3))
                    for x_tmvc in _padded(store, chosen):
                        file.write(x_tmvc.data)
                with _member(archive, f"y_{side}.npy") as file:
                    _head(file, np.float64, (len(chosen), told.classes))
                    file.write(np.eye(told.classes)[store.labels[chosen]].data)


@contextmanager
def _member(archive: zipfile.ZipFile, name: str) -> Iterator[IO[bytes]]:
    with archive.open(zipfile.ZipInfo(name, EARLIEST), "w", force_zip64=True) as file:
        yield file


def _write_npy(store: ClipStore, told: _Told, rows: dict[str, dict[str, np.ndarray]], out: Path) -> None:
    for split, sides in rows.items():
        for side, chosen in sides.items():
            frames, word = max(FRAMES, int(store.lengths.max())), SIDES[side]
            with atomic(out / split / f"{word}_data_joint.npy") as temporary, temporary.open("wb") as file:
                _head(file, np.float32, (len(chosen), 3, frames, store.joints, store.bodies))
                for x_tmvc in _padded(store, chosen):
                    file.write(np.ascontiguousarray(x_tmvc.transpose(3, 0, 2, 1)).data)
            labels = [store.names[row] for row in chosen], store.labels[chosen].tolist()
            with atomic(out / split / f"{word}_label.pkl") as temporary:
                temporary.write_bytes(pickle.dumps(labels, protocol=PROTOCOL))


def _write_pyskl(store: ClipStore, told: _Told, rows: dict[str, dict[str, np.ndarray]], out: Path) -> None:
    """A dict is written key by key, and the list of annotations one by one: what `pickle.dump` would have to hold at once."""
    split = {
        f"{name}_{SIDES[side]}": [store.names[row] for row in chosen] for name, sides in rows.items() for side, chosen in sides.items()
    }
    with atomic(out / f"{told.name}.pkl") as temporary, temporary.open("wb") as file:
        file.write(pickle.PROTO + bytes([PROTOCOL]) + pickle.EMPTY_DICT + pickle.MARK)
        file.write(_part("split") + _part(split) + _part("annotations") + pickle.EMPTY_LIST + pickle.MARK)
        for row, name in enumerate(store.names):
            file.write(_part(_annotation(name, int(store.labels[row]), store.read(row), told)).replace(_ARRAY, _OLD_ARRAY, 1))
        file.write(pickle.APPENDS + pickle.SETITEMS + pickle.STOP)


def _part(value: object) -> bytes:
    """What a pickle of the value says between its beginning and its end."""
    return pickle.dumps(value, PROTOCOL)[2:-1]


def _annotation(name: str, label: int, x_tmvc: np.ndarray, told: _Told) -> dict[str, object]:
    """A second body that is absent, or a copy of the first, is left out, as a reader of such files expects."""
    alone = x_tmvc.shape[1] == 2 and (np.array_equal(x_tmvc[:, 0], x_tmvc[:, 1]) or not (told.copies or x_tmvc[:, 1].any()))
    x_mtvc = np.ascontiguousarray(np.moveaxis(x_tmvc[:, :1] if alone else x_tmvc, 1, 0))
    return {"frame_dir": name, "label": label, "keypoint": x_mtvc, "total_frames": len(x_tmvc)}


def _head(file: IO[bytes], dtype: type, shape: tuple[int, ...]) -> None:
    description = {"descr": np.lib.format.dtype_to_descr(np.dtype(dtype)), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, description)


_FILES: dict[str, Callable[[str, tuple[str, ...]], list[str]]] = {
    "npz": lambda data, splits: [f"{data}_{split}.npz" for split in splits],
    "pyskl": lambda data, splits: [f"{data}.pkl"],
    "npy": lambda data, splits: [
        f"{split}/{word}_{kind}" for split in splits for word in SIDES.values() for kind in ("data_joint.npy", "label.pkl")
    ],
}
_WRITE: dict[str, Callable[[ClipStore, _Told, dict[str, dict[str, np.ndarray]], Path], None]] = {
    "npz": _write_npz,
    "pyskl": _write_pyskl,
    "npy": _write_npy,
}
