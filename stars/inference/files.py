"""Your own files: listing and labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from stars.data.readers import Clip, Layout, reader, unreadable
from stars.data.readers.folder import LARGEST_TABLE, TABLE
from stars.data.readers.text_csv import parsed
from stars.data.sources import Source
from stars.errors import InputError
from stars.inference.layouts import ENDINGS, native


@dataclass(frozen=True)
class File:
    """A file with a clip: its path in results, and its location in a folder or zip."""

    name: str
    source: Source
    inside: str


def existing(path: str | Path) -> Path:
    """Return the path; InputError if it does not exist."""
    if not Path(path).exists():
        raise InputError(f"{path} does not exist: name a file, or a folder or zip of files")
    return Path(path)


def alone(path: str | Path) -> bool:
    """Whether a path is a single file, not a folder or zip."""
    return Path(path).is_file() and Path(path).suffix != ".zip"


def files(path: str | Path, layout: Layout) -> list[File]:
    """Files at a path: itself, or all clips below a folder or in a zip; at least one."""
    path = existing(path)
    endings = tuple(dict.fromkeys((*reader(layout.reader).SUFFIXES, *ENDINGS)))
    if alone(path):
        if not path.name.endswith(endings):
            raise InputError(f"{path}: expected a file with suffix {', '.join(endings)}")
        return [File(str(path), Source(path.parent, {path.name: None}), path.name)]
    source = Source.open(path, endings)
    found = [File(str(path / inside), source, inside) for inside in source.files if PurePosixPath(inside).name != TABLE]
    if not found:
        raise InputError(f"{path} contains no {', '.join(endings)} file: name another folder or zip")
    return found


def labels(found: Sequence[File], layout: Layout) -> list[str]:
    """Action of each file of a folder or zip: from clips.csv; without one, the name of its sub-folder; otherwise from
    the file's name, if the data set's names contain it. "" if unknown.

    Raises:
        InputError: clips.csv is damaged.
    """
    source = found[0].source
    tables = [inside for inside in source.files if PurePosixPath(inside).name == TABLE]
    if tables:
        by_file = _table(source, tables[0], layout)
        return [by_file.get(file.inside, "") for file in found]
    own = _own_names(found, layout)
    return [PurePosixPath(file.inside).parent.name or own.get(file.inside, "") for file in found]


def subjects(found: Sequence[File], layout: Layout) -> list[str]:
    """Subject of each file of a folder or zip: from the column `subject` of clips.csv, or the file's name; "" if
    unknown.
    """
    source = found[0].source
    tables = [inside for inside in source.files if PurePosixPath(inside).name == TABLE]
    by_file = (
        column(source, tables[0], "subject")
        if tables
        else {file: str(clip.subject) for file, clip in _own_clips(found, layout).items()}
    )
    return [(by_file or {}).get(file.inside, "") for file in found]


def column(source: Source, table: str, name: str) -> dict[str, str] | None:
    """File → its value in a column of clips.csv; None without the column."""
    columns, rows = parsed(source.read(table), table, LARGEST_TABLE)
    if not {"file", "label"} <= set(columns):
        unreadable(table, 1, "the columns file and label", repr(",".join(columns)))
    if name not in columns:
        return None
    file, wanted = columns.index("file"), columns.index(name)
    return {(PurePosixPath(table).parent / row[file]).as_posix(): row[wanted] for _, row in rows}


def _table(source: Source, table: str, layout: Layout) -> dict[str, str]:
    """File → action; whole numbers are numbers of the description's actions."""
    numbered = {str(number): name for number, name in layout.actions.items()}
    return {file: numbered.get(label, label) for file, label in (column(source, table, "label") or {}).items()}


def _own_names(found: Sequence[File], layout: Layout) -> dict[str, str]:
    return {file: native(file, layout).actions.get(clip.action, "") for file, clip in _own_clips(found, layout).items()}


def _own_clips(found: Sequence[File], layout: Layout) -> dict[str, Clip]:
    """File → its clip, for files whose names identify it."""
    known: dict[str, Clip] = {}
    for kind in {file.inside.rpartition(".")[2]: native(file.inside, layout) for file in found}.values():
        if kind.reader in ("folder", "pku"):  # whose file names do not identify clips
            continue
        own = found[0].source.only(file.inside for file in found if file.inside.endswith(reader(kind.reader).SUFFIXES))
        clips = {file: clips for file, clips in reader(kind.reader).clips(own, kind) if isinstance(clips, list)}
        known |= {file: clip for file, some in clips.items() for clip in some}
    return known
