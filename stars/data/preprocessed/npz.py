"""CTR-GCN's and MAMP's `.npz` files, NTU60_CS.npz, PKUv2_XSub.npz …: both sides of a split, without names of clips.

    x_train, x_test     (clips, frames, bodies · joints · 3) in metres, zeros after a clip's last frame
    y_train, y_test     (clips, classes), one-hot

Joints are streamed from the archive clip by clip (180 kB each for NTU), so files of 20 GB need no memory, compressed or
not.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, ClassVar, NamedTuple

import numpy as np

from stars.data.preprocessed.source import Entry, Preprocessed, Side, check_clips, listed, unpadded
from stars.data.readers import Layout, unreadable
from stars.data.readers.npy import BEGINNING, Header, check_size, header, numbers
from stars.data.sources import DamagedArchive, in_zip, member_bytes
from stars.errors import InputError

SIDES: tuple[Side, ...] = ("train", "test")
BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    OSError,
    ValueError,
    RuntimeError,
    struct.error,
)  # exceptions of zipfile for damaged bytes
MEMBERS = frozenset(f"{kind}_{side}.npy" for kind in "xy" for side in SIDES)


class _At(NamedTuple):
    """Location of a clip's joints: member of the archive, byte of its first row, row; and shape (T, M, V, 3) and
    dtype of a row.
    """

    member: str
    start: int
    row: int
    shape: tuple[int, int, int, int]
    dtype: np.dtype


class _Stream(NamedTuple):
    """A member being read, and the next row."""

    member: str
    file: IO[bytes]
    row: int


@dataclass
class Npz(Preprocessed):
    """Clips of an `.npz` file."""

    path: Path = Path()
    in_order: ClassVar[bool] = True
    _stream: _Stream | None = field(default=None, init=False, repr=False)

    def clip(self, name: str, entry: Entry) -> np.ndarray:
        at: _At = entry.at
        size = int(np.prod(at.shape)) * at.dtype.itemsize
        try:
            file = self._at_row(at, size)
            data = file.read(size)
        except BROKEN as error:
            raise DamagedArchive(f"{self.path.name}: cannot be read ({error}): download it again") from None
        if len(data) != size:
            raise DamagedArchive(f"{self.path.name}: cannot be read ({at.member} ends early): download it again")
        self._stream = _Stream(at.member, file, at.row + 1)
        return unpadded(np.frombuffer(data, at.dtype).reshape(at.shape))

    def _at_row(self, at: _At, size: int) -> IO[bytes]:
        """The archive's member, open at the start of a row. Skipped rows are read, too, since the checksum covers
        all.
        """
        stream = self._stream
        if stream is None or stream.member != at.member or stream.row > at.row:
            file = self._archive(self.path).open(at.member)
            file.read(at.start)
            stream = _Stream(at.member, file, 0)
        for _ in range(at.row - stream.row):
            stream.file.read(size)
        return stream.file


def open_npz(root: Path, path: Path, layout: Layout) -> Npz:
    """Open a file's clips; `root` is the file or folder that the configuration names.

    Raises:
        InputError: a member is missing, or has another layout or other joints than the description.
    """
    shown = path.name if path == root else path.relative_to(root).as_posix()
    held = {name for name, _ in in_zip(path, "")}
    if not held >= MEMBERS:
        unreadable(shown, None, "x_train, y_train, x_test and y_test", ", ".join(sorted(held)[:4]) or "none")
    entries: dict[str, Entry] = {}
    with zipfile.ZipFile(path) as archive:
        if any(
            archive.getinfo(name).compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for name in MEMBERS
        ):
            unreadable(shown, None, "arrays as np.savez or np.savez_compressed write them", "another compression")
        for side in SIDES:
            found, shape = _joints(archive, side, shown, layout)
            for row, label in enumerate(_labels(archive, side, shown, found.shape[0])):
                at = _At(f"x_{side}.npy", found.end, row, shape, found.dtype)
                entries[f"{shown}/x_{side}/{row}"] = Entry(f"{side}_{row:06}", label, side, at)
    return Npz(**listed(root, entries), path=path)


def _joints(
    archive: zipfile.ZipFile, side: Side, shown: str, layout: Layout
) -> tuple[Header, tuple[int, int, int, int]]:
    """Header of a side's joints, and the shape of a clip."""
    member, source, joints = f"x_{side}.npy", f"{shown}/x_{side}", len(layout.joints)
    try:
        with archive.open(member) as file:
            head = file.read(BEGINNING)
    except BROKEN as error:
        raise InputError(f"{source}: cannot be read ({error}): download it again") from None
    found = header(head, source)
    check_size(found, archive.getinfo(member).file_size, source)
    if len(found.shape) != 3 or found.order != "C" or found.shape[2] % (joints * 3):
        unreadable(
            source,
            None,
            f"(clips, frames, bodies · {joints} joints · 3), row by row",
            f"shape {found.shape}, order {found.order}",
        )
    check_clips(found, source)
    return found, (found.shape[1], found.shape[2] // (joints * 3), joints, 3)


def _labels(archive: zipfile.ZipFile, side: Side, shown: str, clips: int) -> list[int]:
    """The class of each clip of a side, from its one-hot row."""
    source = f"{shown}/y_{side}"
    try:
        data = member_bytes(archive, f"y_{side}.npy", source)
    except InputError:
        raise
    except BROKEN as error:
        raise InputError(f"{source}: cannot be read ({error}): download it again") from None
    y_nc = numbers(data, source)
    if y_nc.ndim != 2 or len(y_nc) != clips:
        unreadable(source, None, f"({clips} clips, classes)", f"shape {y_nc.shape}")
    with np.errstate(invalid="ignore"):
        good = ((y_nc == 1).sum(axis=1) == 1) & ((y_nc != 0).sum(axis=1) == 1)
    if not good.all():
        unreadable(source, None, "a single 1 in each row", f"another in row {int(good.argmin()) + 1}")
    return [int(label) for label in y_nc.argmax(axis=1)]
