"""Reads raw files in the given order, sequentially or with several processes."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context

import numpy as np
from tqdm import tqdm

from stars.config import Ingest
from stars.data.completeness import NO_BODY
from stars.data.convert import actors, stored
from stars.data.readers import Clip, Layout
from stars.data.sources import DamagedArchive, Source
from stars.errors import InputError
from stars.ingest.identify import Files

CHUNK = 32  # files per task of a process
CHUNKS_WAITING = 4  # per process
SECONDS_BETWEEN_LINES = 15.0  # of progress in a log


@dataclass(frozen=True, eq=False)
class ReadFile:
    """A file's clips, or its error."""

    source: str
    sha256: str = ""
    clips: tuple[ReadClip, ...] = ()
    error: str = ""


@dataclass(frozen=True, eq=False)
class ReadClip:
    """A clip as stored, (T, M, V, 3), and its visible bodies; or the reason for dropping it."""

    clip: Clip
    x_tmvc: np.ndarray | None
    bodies: int = 0
    reason: str = ""


def read_all(source: Source, files: Files, layout: Layout, keys: Ingest, workers: int) -> Iterator[ReadFile]:
    """Read every file in the given order; with one process if they can only be read sequentially.

    Raises:
        InputError: the system killed a process, or an archive is damaged.
    """
    if workers == 1 or len(files) <= 1 or source.in_order:
        yield from (_read(source, layout, keys, *item) for item in files.items())
        source.close()
        return
    # Processes are spawned, since a fork would copy the threads of the caller's libraries.
    with ProcessPoolExecutor(
        workers, get_context("spawn"), initializer=_start, initargs=(source.only(files), layout, keys)
    ) as pool:
        try:
            yield from _in_turn(pool, list(files.items()), waiting=CHUNKS_WAITING * workers)
        except BrokenProcessPool:
            raise InputError(
                "a process that read raw files was killed, probably out of memory: use fewer workers"
            ) from None


def _in_turn(pool: Executor, files: list[tuple[str, list[Clip]]], waiting: int) -> Iterator[ReadFile]:
    """Yield results in order, with at most `waiting` chunks in flight, so that a slow disk does not fill the memory."""
    ahead: deque[Future[list[ReadFile]]] = deque()
    for start in range(0, len(files), CHUNK):
        ahead.append(pool.submit(_read_here, files[start : start + CHUNK]))
        if len(ahead) > waiting:
            yield from ahead.popleft().result()
    while ahead:
        yield from ahead.popleft().result()


_here: tuple[Source, Layout, Ingest] | None = None  # of a worker process


def _start(source: Source, layout: Layout, keys: Ingest) -> None:
    global _here
    _here = source, layout, keys


def _read_here(files: list[tuple[str, list[Clip]]]) -> list[ReadFile]:
    assert _here is not None
    return [_read(*_here, *item) for item in files]


def _read(source: Source, layout: Layout, keys: Ingest, file: str, clips: list[Clip]) -> ReadFile:
    try:
        x_tmvc = actors(source.read(file), file, layout, keys)
    except DamagedArchive:
        raise
    except InputError as error:
        return ReadFile(file, error=str(error))
    return ReadFile(file, source.sha256[file], tuple(_cut(x_tmvc, clip, layout, keys) for clip in clips))


def _cut(x_tmvc: np.ndarray, clip: Clip, layout: Layout, keys: Ingest) -> ReadClip:
    if clip.span is not None:
        start, end = clip.span
        if start >= len(x_tmvc):
            return ReadClip(clip, None, reason=f"frames {start} to {end} are beyond the file's {len(x_tmvc)}")
        x_tmvc = x_tmvc[start:end]
    bodies = int(x_tmvc.any(axis=(0, 2, 3)).sum())
    return ReadClip(clip, stored(x_tmvc, layout, keys), bodies) if bodies else ReadClip(clip, None, reason=NO_BODY)


def progress(files: Iterable[ReadFile], total: int, name: str) -> Iterator[ReadFile]:
    """Pass files on and show progress: a bar on a terminal, an occasional line in a log."""
    if sys.stderr.isatty():
        yield from tqdm(files, total=total, unit="file", desc=f"ingest {name}")
        return
    said = time.monotonic()
    for count, item in enumerate(files, 1):
        yield item
        if count == total or time.monotonic() - said > SECONDS_BETWEEN_LINES:
            said = time.monotonic()
            print(f"ingest {name}: {count} of {total} files", file=sys.stderr, flush=True)
