"""Exports a clip store to other code's layouts: CTR-GCN's and MAMP's `.npz`, pyskl's `.pkl`, ST-GCN's arrays, one clip
in memory at a time.

    DATA_SPLIT.npz                                     one file per split, with both sides
    DATA.pkl                                           one file with all clips and all splits by name
    SPLIT/train_data_joint.npy, train_label.pkl, …     one folder per split; val is the test side

The modules `npz`, `pyskl` and `npy` describe and read these files.
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

FRAMES = 300  # length of padded clips that other code expects; more if a clip is longer
EARLIEST = (1980, 1, 1, 0, 0, 0)  # date of every file in an archive, so that equal clips give equal bytes
SIDES = {"train": "train", "test": "val"}
PROTOCOL = 3  # pickle protocol: the last without frames, so that a pickle can be written in parts
_ARRAY, _OLD_ARRAY = (
    b"cnumpy._core.multiarray\n_reconstruct\n",
    b"cnumpy.core.multiarray\n_reconstruct\n",
)  # a name that every NumPy version knows


class ExportStage(Settings):
    """Settings of an export; the store and its splits are its inputs."""

    format: Kind
    splits: tuple[str, ...]


class _Description(NamedTuple):
    """Facts from the store's record: data set's name, number of classes, and whether a single body is stored twice."""

    name: str
    classes: int
    copies: bool


def export_clips(clips: Path, splits: Path, out: Path, kind: Kind, chosen: Sequence[str] = ()) -> list[str]:
    """Write the clips of a store in layout `kind` into folder `out`, with a record; return the names of the files.

    Args:
        splits: folder of the splits' files; chosen: names of the splits to write, all if empty.

    Raises:
        InputError: no split, or no store with its record.
    """
    store, described = ClipStore.open(clips), _description(clips)
    rows = _rows(splits, chosen)
    files = _FILES[kind](described.name, tuple(rows))
    inputs = {"clips": clips / TABLE, "record": clips / "record.json"}
    inputs |= {f"{name}_{side}": splits / f"{name}_{side}.npy" for name in rows for side in SIDES}
    settings = ExportStage(format=kind, splits=tuple(rows)).model_dump(mode="json")
    with recording(
        out, "stars.data.preprocessed.export", settings, inputs, files, f"{described.name}_{kind}.record.json"
    ) as notes:
        _WRITE[kind](store, described, rows, out)
        notes["clips"] = {name: {side: len(found) for side, found in sides.items()} for name, sides in rows.items()}
    return files


def _description(clips: Path) -> _Description:
    record = read_json(clips / "record.json")
    try:
        settings = record["settings"]
        layout, keys = settings["dataset"], settings["ingest"]
        return _Description(
            settings["name"], len(layout["actions"]), (keys["single_body"] or layout["single_body"]) == "copy"
        )
    except (KeyError, TypeError):
        raise InputError(f"{clips / 'record.json'} is not the record of a clip store: ingest again") from None


def _rows(splits: Path, chosen: Sequence[str]) -> dict[str, dict[str, np.ndarray]]:
    """Split → side → rows of the store."""
    known = sorted(path.name.removesuffix("_train.npy") for path in splits.glob("*_train.npy"))
    if not known:
        raise InputError(
            f"{splits} contains no split: make one with `snakemake` or `stars split`, and name its folder with --splits"
        )
    if unknown := [name for name in chosen if name not in known]:
        raise InputError(f"--split {unknown[0]}: not in {splits}: choose from {', '.join(known)}")
    return {name: {side: read_npy(splits / f"{name}_{side}.npy") for side in SIDES} for name in chosen or known}


def _padded(store: ClipStore, rows: np.ndarray) -> Iterator[np.ndarray]:
    """Iterate over clips (frames, M, V, 3), padded with zeros, in one reused array."""
    x_tmvc = np.zeros((max(FRAMES, int(store.lengths.max())), store.bodies, store.joints, 3), np.float32)
    for row in rows:
        length = int(store.lengths[row])
        x_tmvc[:length], x_tmvc[length:] = store.read(row), 0
        yield x_tmvc


def _write_npz(store: ClipStore, described: _Description, rows: dict[str, dict[str, np.ndarray]], out: Path) -> None:
    for split, sides in rows.items():
        with (
            atomic(out / f"{described.name}_{split}.npz") as temporary,
            zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive,
        ):
            for side, chosen in sides.items():
                frames = max(FRAMES, int(store.lengths.max()))
                with _member(archive, f"x_{side}.npy") as file:
                    _head(file, np.float32, (len(chosen), frames, store.bodies * store.joints * 3))
                    for x_tmvc in _padded(store, chosen):
                        file.write(x_tmvc.data)
                with _member(archive, f"y_{side}.npy") as file:
                    _head(file, np.float64, (len(chosen), described.classes))
                    file.write(np.eye(described.classes)[store.labels[chosen]].data)


@contextmanager
def _member(archive: zipfile.ZipFile, name: str) -> Iterator[IO[bytes]]:
    with archive.open(zipfile.ZipInfo(name, EARLIEST), "w", force_zip64=True) as file:
        yield file


def _write_npy(store: ClipStore, described: _Description, rows: dict[str, dict[str, np.ndarray]], out: Path) -> None:
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


def _write_pyskl(store: ClipStore, described: _Description, rows: dict[str, dict[str, np.ndarray]], out: Path) -> None:
    """Write the dict key by key and the annotations one by one; `pickle.dump` would need all in memory."""
    split = {
        f"{name}_{SIDES[side]}": [store.names[row] for row in chosen]
        for name, sides in rows.items()
        for side, chosen in sides.items()
    }
    with atomic(out / f"{described.name}.pkl") as temporary, temporary.open("wb") as file:
        file.write(pickle.PROTO + bytes([PROTOCOL]) + pickle.EMPTY_DICT + pickle.MARK)
        file.write(_part("split") + _part(split) + _part("annotations") + pickle.EMPTY_LIST + pickle.MARK)
        for row, name in enumerate(store.names):
            file.write(
                _part(_annotation(name, int(store.labels[row]), store.read(row), described)).replace(
                    _ARRAY, _OLD_ARRAY, 1
                )
            )
        file.write(pickle.APPENDS + pickle.SETITEMS + pickle.STOP)


def _part(value: object) -> bytes:
    """The pickle of a value without its first and last instructions."""
    return pickle.dumps(value, PROTOCOL)[2:-1]


def _annotation(name: str, label: int, x_tmvc: np.ndarray, described: _Description) -> dict[str, object]:
    """A clip's annotation, without a second body that is absent or a copy of the first, as readers of such files
    expect.
    """
    alone = x_tmvc.shape[1] == 2 and (
        np.array_equal(x_tmvc[:, 0], x_tmvc[:, 1]) or not (described.copies or x_tmvc[:, 1].any())
    )
    x_mtvc = np.ascontiguousarray(np.moveaxis(x_tmvc[:, :1] if alone else x_tmvc, 1, 0))
    return {"frame_dir": name, "label": label, "keypoint": x_mtvc, "total_frames": len(x_tmvc)}


def _head(file: IO[bytes], dtype: type, shape: tuple[int, ...]) -> None:
    description = {"descr": np.lib.format.dtype_to_descr(np.dtype(dtype)), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, description)


_FILES: dict[str, Callable[[str, tuple[str, ...]], list[str]]] = {
    "npz": lambda data, splits: [f"{data}_{split}.npz" for split in splits],
    "pyskl": lambda data, splits: [f"{data}.pkl"],
    "npy": lambda data, splits: [
        f"{split}/{word}_{kind}"
        for split in splits
        for word in SIDES.values()
        for kind in ("data_joint.npy", "label.pkl")
    ],
}
_WRITE: dict[str, Callable[[ClipStore, _Description, dict[str, dict[str, np.ndarray]], Path], None]] = {
    "npz": _write_npz,
    "pyskl": _write_pyskl,
    "npy": _write_npy,
}
