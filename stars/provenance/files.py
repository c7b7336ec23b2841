"""Atomic file writes (temporary name, fsync, rename), reading, digests and locks."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import sys
import time
import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from stars.errors import InputError

# Exceptions of NumPy, zipfile and zlib for damaged bytes.
DAMAGE = (
    *(ValueError, EOFError, OSError, TypeError, AttributeError, LookupError, RuntimeError, MemoryError, OverflowError),
    *(zipfile.BadZipFile, zlib.error, tokenize.TokenError, SyntaxError),
)

# Errors of flock on filesystems without locks.
NO_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK)

CLAIM_SECONDS = 10.0  # allowed between a writer's claim and its file, which normally takes milliseconds


@contextmanager
def atomic(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path next to `path`; on success it replaces `path`, on failure it is deleted and the old
    file stays.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp{path.suffix}")
    try:
        with _full_disk_named(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            _flush(temporary)
            temporary.replace(path)
            _flush(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def _full_disk_named(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise InputError(
            f"no space left while writing {path}: free some and run again; the earlier file, if any, is intact"
        ) from None


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: Path | str, text: str) -> None:
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_once(path: Path | str, text: str) -> None:
    """Write a file atomically unless it exists. Safe for concurrent jobs on a shared filesystem.

    InputError if a killed job left a claim on the name and no file (only on filesystems without hard links).
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with _full_disk_named(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            temporary.write_text(text, encoding="utf-8")
            _flush(temporary)
            _link(temporary, path)
            _flush(path.parent)
        except FileExistsError:
            pass
        finally:
            temporary.unlink(missing_ok=True)


def _link(temporary: Path, path: Path) -> None:
    """Give the file its name; FileExistsError if it exists.

    On filesystems without hard links (exFAT, some network shares), only the writer that creates a claim file may
    rename.
    """
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:
        claim = path.with_name(f".{path.name}.claim")
        _take(claim, path)
        try:
            if path.exists():
                raise FileExistsError(path) from None
            temporary.replace(path)
        finally:
            claim.unlink()


def _take(claim: Path, path: Path) -> None:
    """Create the claim on `path`; FileExistsError if the file exists, InputError if another's claim stays without a
    file.
    """
    end = time.monotonic() + CLAIM_SECONDS
    while True:
        try:
            return claim.open("x").close()
        except FileExistsError:
            if path.exists():
                raise
        if time.monotonic() > end:
            raise InputError(f"{claim} was left by a killed job, and {path} was not written: delete it and run again")
        time.sleep(0.02)


def write_json(path: Path | str, value: Any) -> None:
    write_text(path, json_text(value))


def json_text(value: Any) -> str:
    """Plain data as the text of our JSON files."""
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def write_npy(path: Path | str, array: np.ndarray) -> None:
    head = np.lib.format.header_data_from_array_1_0(array := np.asarray(array, order="C"))
    with atomic(path) as temporary, temporary.open("wb") as file:  # not by np.save, which ignores a full disk
        np.lib.format.write_array_header_1_0(file, head)
        file.write(array.data)


def read_json(path: Path | str) -> Any:
    """Read a JSON file; InputError naming it if it is missing or invalid."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path} is missing: run the stage that makes it") from None
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"{path} is not valid JSON ({error}): delete it and run again") from None


def read_npy(path: Path | str, memory_map: bool = False) -> np.ndarray:
    """Read a .npy file, never unpickling; InputError naming it if it is missing or damaged."""
    try:
        return np.load(path, mmap_mode="r" if memory_map else None, allow_pickle=False)
    except FileNotFoundError:
        raise InputError(f"{path} is missing: run the stage that makes it") from None
    except DAMAGE as error:
        raise InputError(f"{path} is not a readable .npy file ({error}): delete it and run again") from None


def write_npz(path: Path | str, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays as a compressed npz. NumPy dates every entry 1980-01-01, so equal arrays give equal bytes."""
    with atomic(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def read_npz(path: Path | str, arrays: Sequence[str]) -> dict[str, np.ndarray]:
    """Read arrays of a .npz file, never unpickling; InputError naming it if it is missing, damaged or lacks an
    array.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            if lacking := [name for name in arrays if name not in archive]:
                raise InputError(f"{path} has no array {lacking[0]}; it has {', '.join(archive.files)}")
            return {name: archive[name] for name in arrays}
    except FileNotFoundError:
        raise InputError(f"{path} is missing: run the stage that makes it") from None
    except InputError:
        raise
    except DAMAGE as error:
        raise InputError(f"{path} is not a readable .npz file ({error}): delete it and run again") from None


def sha256(path: Path | str) -> str:
    """Hex digest of a file's bytes; InputError if it is missing."""
    if not Path(path).is_file():
        raise InputError(f"{path} is missing: run the stage that makes it")
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest(value: Any) -> str:
    """Hex digest of plain data, independent of the order of keys."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def canonical(value: Any) -> str:
    """Plain data as JSON with sorted keys and no spaces: equal data, equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


@contextmanager
def exclusive(path: Path | str) -> Iterator[None]:
    """Lock `path`, a folder or a file to be written, for this process; InputError if another run has locked it.

    The lock is a file next to `path`, deleted on release; a lock file left by a killed run is ignored. On a filesystem
    without locks (Lustre mounted without `flock`), a message on stderr says so, and a single writer is assumed, as
    Snakemake ensures.
    """
    path = Path(path)
    lock = path.with_name(f".{path.name}.lock")
    with _full_disk_named(path):
        while (descriptor := _lock(lock, path)) is None:
            pass
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)
        os.close(descriptor)


def _lock(lock: Path, path: Path) -> int | None:
    """Descriptor of the locked file; None if another run removed it meanwhile, which makes the lock ineffective."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(descriptor), lock.stat()):
            return descriptor
    except BlockingIOError:
        os.close(descriptor)
        raise InputError(f"another run is writing {path}: wait for it to end, or stop it") from None
    except FileNotFoundError:
        pass
    except OSError as error:
        if error.errno not in NO_LOCKS:
            os.close(descriptor)
            raise
        print(f"stars: the filesystem of {path} has no locks: let no second run write there", file=sys.stderr)
        return descriptor
    os.close(descriptor)
    return None


def hashes(paths: Mapping[str, Path | str]) -> dict[str, dict[str, str]]:
    """Role → path and sha256, as stored in records."""
    return {role: {"path": str(path), "sha256": sha256(path)} for role, path in sorted(paths.items())}
