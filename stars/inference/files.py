"""Files of one's own: which there are, and what they are labelled as."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from stars.data.readers import Clip, Layout, ReaderName, reader, unreadable
from stars.data.readers.folder import LARGEST_TABLE, TABLE
from stars.data.readers.text_csv import parsed
from stars.data.sources import Source
from stars.errors import InputError

# Layout of a file that is not named as the data set's own are, by its ending.
ENDINGS: dict[str, ReaderName] = {".skeleton": "ntu", ".mat": "utd_mhad", ".npy": "folder", ".json": "folder", ".csv": "folder"}


@dataclass(frozen=True)
class File:
    """A file that holds a clip: its path as results name it, and where it lies in a folder or zip."""

    name: str
    source: Source
    inside: str


def existing(path: str | Path) -> Path:
    """The path; InputError where nothing is there."""
    if not Path(path).exists():
        raise InputError(f"{path} does not exist: name a file, or a folder or zip of files")
    return Path(path)


def alone(path: str | Path) -> bool:
    """Whether a path names one file, and no folder or zip of files."""
    return Path(path).is_file() and Path(path).suffix != ".zip"


def files(path: str | Path, layout: Layout) -> list[File]:
    """The files that a path names: itself, or all below a folder or in a zip whose names end as clips' do; at least one."""
    path = existing(path)
    endings = tuple(dict.fromkeys((*reader(layout.reader).SUFFIXES, *ENDINGS)))
    if alone(path):
        if not path.name.endswith(endings):
            raise InputError(f"{path}: expected a file whose name ends in {', '.join(endings)}")
        return [File(str(path), Source(path.parent, {path.name: None}), path.name)]
    source = Source.open(path, endings)
    found = [File(str(path / inside), source, inside) for inside in source.files if PurePosixPath(inside).name != TABLE]
    if not found:
        raise InputError(f"{path} holds no file whose name ends in {', '.join(endings)}")
    return found


def layout_of(file: File, layout: Layout) -> Layout:
    """The data set's own layout where the file is named as its files are; else the same joints in the layout that the ending says."""
    if file.inside.endswith(reader(layout.reader).SUFFIXES):
        return layout
    return layout.model_copy(update={"reader": next(kind for ending, kind in ENDINGS.items() if file.inside.endswith(ending))})


def labels(found: Sequence[File], layout: Layout) -> list[str]:
    """The action that each file of a folder or zip shows: as its clips.csv says; where there is none, the name of the folder below it that
    the file lies in; else as the file's own name says, in a data set whose names do. "" for a file of which nothing says it.

    Raises:
        InputError: clips.csv is damaged.
    """
    source = found[0].source
    tables = [inside for inside in source.files if PurePosixPath(inside).name == TABLE]
    if tables:
        told = _table(source, tables[0], layout)
        return [told.get(file.inside, "") for file in found]
    own = _own_names(source, layout)
    return [PurePosixPath(file.inside).parent.name or own.get(file.inside, "") for file in found]


def _table(source: Source, table: str, layout: Layout) -> dict[str, str]:
    """File → action, of which a whole number is one of the description's."""
    columns, rows = parsed(source.read(table), table, LARGEST_TABLE)
    if not {"file", "label"} <= set(columns):
        unreadable(table, 1, "the columns file and label", repr(",".join(columns)))
    file, label = columns.index("file"), columns.index("label")
    numbered = {str(number): name for number, name in layout.actions.items()}
    return {(PurePosixPath(table).parent / row[file]).as_posix(): numbered.get(row[label], row[label]) for _, row in rows}


def _own_names(source: Source, layout: Layout) -> dict[str, str]:
    if layout.reader in ("folder", "pku"):  # whose files' names say nothing
        return {}
    own = source.only(file for file in source.files if file.endswith(reader(layout.reader).SUFFIXES))
    known: dict[str, list[Clip]] = {file: clips for file, clips in reader(layout.reader).clips(own, layout) if isinstance(clips, list)}
    return {file: layout.actions.get(clip.action, "") for file, clips in known.items() for clip in clips}
