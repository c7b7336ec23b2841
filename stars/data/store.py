"""Clip store: the clips of a data set in one memory-mapped array, with a table that describes each clip."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from stars.errors import InputError
from stars.provenance.files import atomic, read_npy, write_npy, write_text

if TYPE_CHECKING:
    import pandas as pd  # imported where a table is read or written; `stars predict` needs none

FRAMES, OFFSETS, TABLE = "frames.npy", "offsets.npy", "clips.csv"
BLOCK = 2**16  # frames read or copied at a time
TEXT = {"name": str, "action_name": str, "source": str, "sha256": str, "sides": str}
COLUMNS = (
    "name",
    "action",
    "subject",
    "camera",
    "setup",
    "replication",
    "frames",
    "bodies",
    "label",
    "action_name",
    "source",
    "sha256",
)
SIDES = "sides"  # optional column: splits included in the raw files


@dataclass(frozen=True, eq=False)
class ClipStore:
    """Clips of one data set, rows sorted by clip name; clip i is `frames[offsets[i]:offsets[i + 1]]`.

    Attributes:
        frames: (F, M, V, 3) float32 in metres, memory-mapped; F is the total number of frames; absent bodies are zeros.
        offsets: (clips + 1,) int64, first frame of each clip and the end of the last.
        table: clips.csv, one row per clip, columns as in COLUMNS.
    """

    frames: np.ndarray
    offsets: np.ndarray
    table: pd.DataFrame

    @classmethod
    def open(cls, folder: Path | str) -> ClipStore:
        """Open the store in `folder`; InputError if a file is missing or the files do not belong together."""
        folder = Path(folder)
        frames, offsets = read_npy(folder / FRAMES, memory_map=True), read_npy(folder / OFFSETS)
        table = read_table(folder / TABLE)
        if frames.ndim != 4 or frames.dtype != np.float32 or frames.shape[3] != 3:
            raise InputError(
                f"{folder / FRAMES} holds {frames.dtype} {frames.shape}, not float32 (frames, bodies, joints, 3):"
                " ingest again"
            )
        fits = offsets.shape == (len(table) + 1,) and offsets[0] == 0 and offsets[-1] == len(frames)
        if not fits or not np.array_equal(np.diff(offsets), table["frames"]):
            raise InputError(
                f"{folder}: {FRAMES}, {OFFSETS} and {TABLE} are from different runs: delete the folder and ingest again"
            )
        return cls(frames, offsets, table)

    @staticmethod
    def write(
        folder: Path | str, clips: Iterable[tuple[Mapping[str, Any], np.ndarray]], bodies: int, joints: int
    ) -> pd.DataFrame:
        """Write the store's three files from a stream of clips, holding one at a time in memory, and return its table.

        Args:
            clips: (row, x) in the order of the store: row has COLUMNS without `frames`, and optionally SIDES; x is (T,
                M, V, 3) in metres.
            bodies: M, joints: V.
        """
        import pandas as pd

        folder, rows = Path(folder), []
        with atomic(folder / FRAMES) as temporary, temporary.open("wb") as file:
            _header(file, (0, bodies, joints, 3))
            for row, x_tmvc in clips:
                assert x_tmvc.shape[1:] == (bodies, joints, 3), x_tmvc.shape
                file.write(np.ascontiguousarray(x_tmvc, dtype="<f4").data)
                rows.append({**row, "frames": len(x_tmvc)})
            file.seek(0)
            _header(file, (sum(row["frames"] for row in rows), bodies, joints, 3))
        own = [SIDES] if any(row.get(SIDES) for row in rows) else []
        return _write_table(folder, pd.DataFrame(rows, columns=[*COLUMNS, *own]))

    @staticmethod
    def join(folder: Path | str, parts: Sequence[Path | str], bodies: int, joints: int) -> pd.DataFrame:
        """Concatenate the stores in `parts` into one store and return its table.

        Raises:
            InputError: a part is missing or damaged, or has other `bodies` or `joints`.
        """
        import pandas as pd

        folder = Path(folder)
        table = pd.concat([read_table(Path(part) / TABLE) for part in parts], ignore_index=True).fillna({SIDES: ""})
        with atomic(folder / FRAMES) as temporary, temporary.open("wb") as file:
            _header(file, (int(table["frames"].sum()), bodies, joints, 3))
            for part in map(Path, parts):
                x_fmvc = read_npy(part / FRAMES, memory_map=True)
                if x_fmvc.shape[1:] != (bodies, joints, 3) or len(x_fmvc) != read_table(part / TABLE)["frames"].sum():
                    raise InputError(
                        f"{part / FRAMES} does not fit its table or the other parts: delete {part} and ingest again"
                    )
                for start in range(0, len(x_fmvc), BLOCK):
                    file.write(np.ascontiguousarray(x_fmvc[start : start + BLOCK]).data)
        return _write_table(folder, table)

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, row: int) -> np.ndarray:
        """Clip of a row, (T, M, V, 3), as a view of the memory map."""
        return self.frames[self.offsets[row] : self.offsets[row + 1]]

    def stream(self) -> Iterator[np.ndarray]:
        """Iterate over all clips, (T, M, V, 3), read block by block, so that resident memory stays small."""
        row = 0
        while row < len(self):
            start = int(self.offsets[row])
            end = max(row + 1, int(np.searchsorted(self.offsets, start + BLOCK, "right")) - 1)
            yield from np.split(self._block(start, int(self.offsets[end])), self.offsets[row + 1 : end] - start)
            row = end

    def read(self, row: int) -> np.ndarray:
        """Clip of a row, (T, M, V, 3), read from the file; for random access to many clips."""
        return self._block(int(self.offsets[row]), int(self.offsets[row + 1]))

    def gather(self, rows: np.ndarray) -> np.ndarray:
        """Frames of the clips at `rows`, one clip after another: (F, M, V, 3).

        Read from the file: the pages of a memory map would stay in this process beside the copy.
        """
        frames = np.empty((int(self.lengths[rows].sum()), *self.frames.shape[1:]), self.frames.dtype)
        frame, ends = frames[:1].nbytes, np.cumsum(self.lengths[rows])
        path, first = self._file
        with path.open("rb", buffering=0) as file:
            for row, end in zip(rows, ends, strict=True):
                file.seek(first + int(self.offsets[row]) * frame)
                part = frames[end - self.lengths[row] : end]
                if file.readinto(part.data) != part.nbytes:
                    raise InputError(f"{path} is shorter than its clips: ingest again")
        return frames

    @property
    def _file(self) -> tuple[Path, int]:
        """The file of the frames, and where they begin in it."""
        assert isinstance(self.frames, np.memmap) and self.frames.filename
        return Path(self.frames.filename), self.frames.offset

    def _block(self, start: int, end: int) -> np.ndarray:
        """Frames [start, end), read from the file."""
        path, first = self._file
        shape = (end - start, *self.frames.shape[1:])
        at = first + start * self.frames[:1].nbytes
        return np.fromfile(path, self.frames.dtype, int(np.prod(shape)), offset=at).reshape(shape)

    @property
    def bodies(self) -> int:
        """M, bodies per clip."""
        return self.frames.shape[1]

    @property
    def joints(self) -> int:
        """V, joints per body."""
        return self.frames.shape[2]

    @cached_property
    def lengths(self) -> np.ndarray:
        """(clips,) int64, number of frames of each clip."""
        return np.diff(self.offsets)

    @cached_property
    def labels(self) -> np.ndarray:
        """(clips,) int64, class of each clip, from 0."""
        return self.table["label"].to_numpy(np.int64)

    @cached_property
    def names(self) -> list[str]:
        """Name of each clip."""
        return self.table["name"].tolist()

    @cached_property
    def class_names(self) -> dict[int, str]:
        """Label → action name of the classes that have clips, sorted by label."""
        return {int(label): name for label, name in sorted(zip(self.labels, self.table["action_name"], strict=True))}


def _write_table(folder: Path, table: pd.DataFrame) -> pd.DataFrame:
    write_npy(folder / OFFSETS, np.concatenate([[0], np.cumsum(table["frames"].to_numpy(np.int64))]).astype(np.int64))
    write_text(folder / TABLE, table.to_csv(index=False, lineterminator="\n"))
    return table


def read_table(path: Path | str) -> pd.DataFrame:
    """Read a store's table, clips.csv; InputError if it is missing or damaged."""
    import pandas as pd

    types = {column: TEXT.get(column, np.int64) for column in (*COLUMNS, SIDES)}
    try:
        table = pd.read_csv(path, dtype=types, keep_default_na=False)
    except FileNotFoundError:
        raise InputError(f"{path} is missing: run the stage that makes it") from None
    except (ValueError, pd.errors.ParserError) as error:
        raise InputError(f"{path} is damaged ({' '.join(str(error).split())}): ingest again") from None
    if missing := sorted(set(COLUMNS) - set(table)):
        raise InputError(f"{path} has no column {missing[0]}: ingest again")
    return table


def _header(file: BinaryIO, shape: tuple[int, ...]) -> None:
    """Write the header of a float32 .npy file. NumPy pads it for a growing first axis, so its length is the same for
    any number of frames.
    """
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {"descr": "<f4", "fortran_order": False, "shape": shape})
    file.write(head.getvalue())
