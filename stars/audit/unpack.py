"""Unpacks archives of `stars pack` safely: nothing outside the folder, no links, no undeclared sizes."""

from __future__ import annotations

import shutil
import stat
import zipfile
from pathlib import Path, PurePosixPath

from stars.audit import crate
from stars.errors import InputError
from stars.provenance.files import DAMAGE
from stars.provenance.lineage import MANIFEST

CHUNK = 1 << 20
DESCRIBED = (crate.FILE, crate.WORKFLOW)  # files of `pack --crate` next to the results folder
MOST_TIMES = 1100  # largest expansion by deflate; larger declared sizes are attacks


def unpack(archive: Path, folder: Path) -> Path:
    """Unpack into an empty folder; return the results folder in it.

    Raises:
        InputError: the archive is not a zip, is damaged, has no manifest, contains links or files outside its only
            folder, or is too large.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            entries = [entry for entry in opened.infolist() if not entry.is_dir()]
            top = _checked(archive, entries, folder)
            for entry in entries:
                path = folder / entry.filename
                path.parent.mkdir(parents=True, exist_ok=True)
                with opened.open(entry) as packed, path.open("xb") as file:
                    shutil.copyfileobj(packed, file, CHUNK)
    except InputError:
        raise
    except (*DAMAGE, NotImplementedError) as error:
        raise InputError(
            f"{archive} is not a zip that can be unpacked ({' '.join(str(error).split())}): download it again"
        ) from None
    return folder / top


def _checked(archive: Path, entries: list[zipfile.ZipInfo], folder: Path) -> str:
    """The folder that contains all entries."""
    tops = set()
    for entry in entries:
        path = PurePosixPath(entry.filename)
        if (
            path.is_absolute()
            or ".." in path.parts
            or "\\" in entry.filename
            or "\0" in entry.orig_filename
            or ":" in path.parts[0]
        ):
            raise InputError(
                f"{archive} contains {entry.filename!r}, which lies outside of its folder: unpack nothing of it"
            )
        if stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG):
            raise InputError(
                f"{archive} contains {entry.filename!r}, which is a link or a device: unpack nothing of it"
            )
        if entry.file_size > MOST_TIMES * max(entry.compress_size, 1):
            raise InputError(
                f"{archive} contains {entry.filename!r}, which expands to far more than its packed size: unpack nothing"
                " of it"
            )
        if entry.filename not in DESCRIBED:
            tops.add(path.parts[0] if len(path.parts) > 1 else "")
    if len({entry.filename for entry in entries}) < len(entries):
        raise InputError(f"{archive} contains two files of one name: unpack nothing of it")
    if len(tops) != 1 or f"{min(tops)}/{MANIFEST}" not in {entry.filename for entry in entries}:
        raise InputError(
            f"{archive} is not an archive that stars pack wrote: it lacks RESULTS/{MANIFEST}, or has more than one"
            " folder"
        )
    if (needed := sum(entry.file_size for entry in entries)) > shutil.disk_usage(folder).free:
        raise InputError(
            f"{archive} needs {needed / 1e9:.1f} GB, more than is free in {folder}: give a folder with more space with"
            " --keep"
        )
    return min(tops)
