"""Raw files in a folder (nested or flat) or in zip archives, read without extraction, in a fixed order."""

from __future__ import annotations

import codecs
import hashlib
import os
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, TypeVar

from stars.errors import InputError, shown

LARGEST = 256 * 2**20  # bytes of one raw file; real ones have a few MB
T = TypeVar("T")


class DamagedArchive(InputError):
    """An archive whose checksum fails at its end: nothing read from it can be trusted, so no single file can be
    skipped.
    """


@dataclass
class Source:
    """The raw files of a data set with one of the given suffixes.

    Attributes:
        files: path inside `root`, with "/" → (archive, member), or None for a plain file; sorted.
        sha256: of each file that this process read.
        in_order: whether files can only be read sequentially.
    """

    root: Path
    files: dict[str, tuple[Path, str] | None]
    sha256: dict[str, str] = field(default_factory=dict, repr=False)
    _open: dict[Path, zipfile.ZipFile] = field(default_factory=dict, repr=False)
    in_order: ClassVar[bool] = False

    @classmethod
    def open(cls, root: Path | str, suffixes: tuple[str, ...]) -> Source:
        """List a folder or a zip. InputError for encrypted members and for names or links that lead outside."""
        root = Path(root)
        found = dict(in_zip(root, "") if root.is_file() else _in_folder(root))
        wanted = sorted(
            name for name in found if name.endswith(suffixes) and not name.rpartition("/")[2].startswith(".")
        )
        return cls(root, {name: found[name] for name in wanted})

    def only(self, names: Iterable[str]) -> Source:
        """Restrict the source to these files, so that each process holds a short list."""
        return Source(self.root, {name: self.files[name] for name in names})

    def read(self, name: str) -> bytes:
        """Bytes of a file, without a UTF-8 byte order mark; InputError if it is too large or damaged."""
        held = self.files[name]
        if held is None:
            data = checked(name, lambda: _plain(self.root / name, name))
        else:
            data = checked(name, lambda: member_bytes(self._archive(held[0]), held[1], name))
        self.sha256[name] = hashlib.sha256(data).hexdigest()
        return data.removeprefix(codecs.BOM_UTF8)

    def _archive(self, path: Path) -> zipfile.ZipFile:
        if path not in self._open:
            self._open[path] = zipfile.ZipFile(path)
        return self._open[path]

    def close(self) -> None:
        """Close all open archives."""
        while self._open:
            self._open.popitem()[1].close()


def _in_folder(root: Path) -> Iterator[tuple[str, tuple[Path, str] | None]]:
    """Every file below `root` and every member of its zip archives."""
    inside = root.resolve()
    for folder, folders, names in os.walk(root, onerror=_unlisted):
        folders[:] = [name for name in folders if name != "__MACOSX"]
        for entry in (Path(folder, name) for name in (*folders, *names)):
            if entry.is_symlink() and not entry.resolve().is_relative_to(inside):
                raise InputError(f"{entry} is a link to {entry.resolve()}, outside {root}: copy the file here")
        for path in (Path(folder, name) for name in names):
            name = path.relative_to(root).as_posix()
            if path.suffix.lower() == ".zip" and path.is_file():
                yield from in_zip(path, f"{name}/")
            else:
                yield name, None


def _unlisted(error: OSError) -> None:
    raise InputError(f"{error.filename} cannot be listed ({error.strerror}): check its permissions")


def in_zip(archive: Path, prefix: str) -> Iterator[tuple[str, tuple[Path, str]]]:
    """Members of an archive, named with `prefix`; InputError for encrypted members, links and names that lead
    outside.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            members = opened.infolist()
        _check_overlap(archive, members)
    except (zipfile.BadZipFile, OSError, EOFError, ValueError, NotImplementedError) as error:
        raise InputError(
            f"{archive} is not a readable zip archive ({error}): download it again, or name the folder it was"
            " extracted to"
        ) from None
    for member in members:
        name = member.filename.replace("\\", "/")
        folders = name.split("/")
        if name.startswith("/") or ".." in folders or ":" in folders[0]:
            raise InputError(f"{archive}: member {shown(member.filename)} points outside the archive; it is not read")
        if member.is_dir() or "__MACOSX" in folders:
            continue
        if member.flag_bits & 0x1:
            raise InputError(
                f"{archive}: member {shown(member.filename)} is encrypted; extract the archive and name that folder"
            )
        if stat.S_ISLNK(member.external_attr >> 16):
            raise InputError(f"{archive}: member {shown(member.filename)} is a symbolic link; it is not read")
        yield prefix + name, (archive, member.filename)


def _check_overlap(archive: Path, members: list[zipfile.ZipInfo]) -> None:
    """InputError for an archive whose members overlap, as in zip bombs (Fifield 2019, "A better zip bomb")."""
    if sum(member.compress_size for member in members) > archive.stat().st_size:
        raise InputError(f"{archive}: its members overlap, as in a zip bomb; it is not read")


def _plain(path: Path, name: str) -> bytes:
    mode = path.stat()
    if not stat.S_ISREG(mode.st_mode):
        raise InputError(f"{name}: expected a file, found something else")
    _check_size(mode.st_size, name)
    return path.read_bytes()


def member_bytes(archive: zipfile.ZipFile, member: str, name: str) -> bytes:
    """Read a member of an archive; InputError if it is too large."""
    _check_size(archive.getinfo(member).file_size, name)
    with archive.open(member) as file:
        data = file.read(LARGEST + 1)  # the declared size may be wrong
    _check_size(len(data), name)
    return data


def _check_size(size: int, name: str) -> None:
    if size > LARGEST:
        raise InputError(f"{name}: expected a file of at most {LARGEST} bytes, found {size}")


def checked(name: str, read: Callable[[], T]) -> T:
    """Call `read`; InputError naming the file if the system or an archive's checksum fails."""
    try:
        return read()
    except (OSError, EOFError, RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{name}: cannot be read ({error})") from None
