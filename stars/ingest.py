"""Raw files to a clip store: read each file, tell its bodies apart, centre it, and write down what was kept and what was not."""

from __future__ import annotations

import hashlib
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from tqdm import tqdm

from stars.config import Ingest, Settings
from stars.data.convert import actors, bodies_of, stored
from stars.data.dataset import Dataset
from stars.data.quality import quality
from stars.data.readers import Clip, Layout, Reader, reader
from stars.data.sources import Source
from stars.data.store import FRAMES, OFFSETS, TABLE, ClipStore
from stars.errors import InputError
from stars.provenance.files import digest, write_json, write_text
from stars.provenance.record import recording

QUALITY, BAD_FILES = "quality.json", "bad_files.txt"
SHOWN = 20  # bad files named in the error; all of them are in BAD_FILES
CHUNK = 32  # files handed to a process at a time
SECONDS_BETWEEN_LINES = 15.0  # of progress in a log


class IngestStage(Settings):
    """Everything that a clip store depends on but the raw files."""

    name: str
    dataset: Layout
    ingest: Ingest

    @classmethod
    def of(cls, name: str, dataset: Dataset, settings: Ingest) -> IngestStage:
        """Settings of data set `name` of a configuration."""
        return cls(name=name, dataset=Layout.of(dataset), ingest=settings)


@dataclass
class _Log:
    """What happened to the files that did not become clips."""

    dropped: list[dict[str, str]] = field(default_factory=list)
    bad: list[str] = field(default_factory=list)
    hashes: dict[str, str] = field(default_factory=dict)  # of every file that was read

    def drop(self, name: str, source: str, reason: str) -> None:
        self.dropped.append({"name": name, "source": source, "reason": reason})

    def unreadable(self, source: str, reason: str) -> None:
        self.bad.append(reason)
        self.drop(PurePosixPath(source).name, source, reason)

    def check(self, kept: int, out: Path, settings: IngestStage) -> None:
        """Raise where unreadable files are errors, or where nothing is left."""
        (out / BAD_FILES).unlink(missing_ok=True)
        if self.bad and settings.ingest.on_bad_file == "error":
            write_text(out / BAD_FILES, "".join(f"{reason}\n" for reason in self.bad))
            leave = f"leave such files out with data.{settings.name}.ingest.on_bad_file: skip"
            if len(self.bad) == 1:
                raise InputError(f"{self.bad[0]}; mend the file, or {leave}")
            shown = self.bad[:SHOWN] + [f"and {len(self.bad) - SHOWN} more, all in {out / BAD_FILES}"] * (len(self.bad) > SHOWN)
            raise InputError("\n  ".join([f"{len(self.bad)} files cannot be used; mend them, or {leave}:", *shown]))
        if not kept:
            reasons = Counter(entry["reason"] for entry in self.dropped).most_common(1)
            raise InputError(
                f"no file of data.{settings.name}.raw became a clip; the most frequent reason, {reasons[0][1]} times: {reasons[0][0]}"
            )


@dataclass(frozen=True, eq=False)
class _Made:
    """A file that was read: the clip it holds, `bodies` of them seen, or the error that it is."""

    source: str
    clip: Clip
    sha256: str = ""
    x_tmvc: np.ndarray | None = None
    bodies: int = 0
    error: str = ""


def ingest(raw: Path, out: Path, settings: IngestStage, workers: int = 1) -> None:
    """Write the clip store of the raw files in folder or zip `raw` into folder `out`: the same bytes whatever `workers` is.

    Raises:
        InputError: no raw files; or unreadable ones, all of them listed, unless `ingest.on_bad_file` is skip.
    """
    raw, out = Path(raw), Path(out)
    source, missing = _open(raw, settings), settings.ingest.missing_list
    inputs = {role: path for role, path in (("raw", raw), ("missing_list", missing)) if path and Path(path).is_file()}
    with recording(out, "stars.ingest", settings.model_dump(mode="json"), inputs, [FRAMES, OFFSETS, TABLE, QUALITY]) as notes:
        log, bodies = _Log(), bodies_of(settings.dataset, settings.ingest)
        clips = _identify(source, settings, log)
        stream = _rows(_progress(_make_all(source, clips, settings, workers), len(clips), settings.name), out, settings, log)
        table = ClipStore.write(out, stream, bodies, len(settings.dataset.joints))
        write_json(out / QUALITY, quality(table, log.dropped, bodies))
        notes["raw"] = {"path": str(raw), "files": len(source.files), "sha256_of_names_and_sha256s": digest(sorted(log.hashes.items()))}


def _open(raw: Path, settings: IngestStage) -> Source:
    """The raw files; one line that says where to get them and which key names them, if there are none."""
    suffix = reader(settings.dataset.reader).SUFFIX
    advice = f"get the data set from {settings.dataset.home} and name its folder or zip in data.{settings.name}.raw"
    if not raw.exists():
        raise InputError(f"{raw} does not exist: {advice}")
    source = Source.open(raw, suffix)
    if not source.files:
        raise InputError(f"{raw} holds no file whose name ends in {suffix}: {advice}")
    return source


def _identify(source: Source, settings: IngestStage, log: _Log) -> list[tuple[str, Clip]]:
    """(file, clip) to be read, sorted by clip name; raises for two files of one clip."""
    read = reader(settings.dataset.reader)
    missing = _missing(settings.ingest.missing_list, read)
    found: dict[str, tuple[str, Clip]] = {}
    for file in source.files:
        try:
            clip = _known(read.name_of(PurePosixPath(file).name), settings)
        except InputError as error:
            log.unreadable(file, str(error))
            continue
        if clip.name in found:
            raise InputError(f"{source.root}: {found[clip.name][0]} and {file} are both clip {clip.name}: leave one of them")
        found[clip.name] = (file, clip)
    for name in sorted(missing & found.keys()):
        log.drop(name, found.pop(name)[0], "in the list of missing skeletons")
    return [found[name] for name in sorted(found)]


def _known(clip: Clip, settings: IngestStage) -> Clip:
    layout = settings.dataset
    advice = f"name a description that has it in data.{settings.name}.dataset"
    if clip.action not in layout.actions:
        raise InputError(f"{clip.name}: action {clip.action} is not among the data set's {len(layout.actions)} actions: {advice}")
    if layout.subjects is not None and clip.subject not in layout.subjects:
        raise InputError(f"{clip.name}: subject {clip.subject} is not among the data set's {len(layout.subjects)} subjects: {advice}")
    return clip


def _missing(path: str | None, read: Reader) -> set[str]:
    """Names in the authors' list; its other words are prose."""
    if path is None:
        return set()
    try:
        words = Path(path).read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"ingest.missing_list: {path} cannot be read as text ({error}): name the authors' list, or null") from None
    names = {word for word in words if _is_name(word + read.SUFFIX, read)}
    if not names:
        raise InputError(f"ingest.missing_list: {path} holds no clip name: name the authors' list, or null")
    return names


def _is_name(file_name: str, read: Reader) -> bool:
    try:
        return bool(read.name_of(file_name))
    except InputError:
        return False


def _make_all(source: Source, clips: list[tuple[str, Clip]], settings: IngestStage, workers: int) -> Iterator[_Made]:
    """Every clip, in the order given."""
    if workers == 1:
        yield from (_make(source, settings, *item) for item in clips)
        source.close()
        return
    # Processes are started fresh: a fork would copy whatever threads the caller's libraries run.
    with ProcessPoolExecutor(workers, get_context("spawn"), initializer=_start, initargs=(source, settings)) as pool:
        try:
            yield from pool.map(_make_here, *zip(*clips, strict=True), chunksize=CHUNK)
        except BrokenProcessPool:
            raise InputError(
                "a process that read raw files was killed, most likely for want of memory: give ingest fewer workers"
            ) from None


def _progress(made: Iterable[_Made], total: int, name: str) -> Iterator[_Made]:
    """Pass on what comes, and say how far it is: a bar on a terminal, a line now and then in a log."""
    if sys.stderr.isatty():
        yield from tqdm(made, total=total, unit="file", desc=f"ingest {name}")
        return
    said = time.monotonic()
    for count, item in enumerate(made, 1):
        yield item
        if count == total or time.monotonic() - said > SECONDS_BETWEEN_LINES:
            said = time.monotonic()
            print(f"ingest {name}: {count} of {total} files", file=sys.stderr, flush=True)


_here: tuple[Source, IngestStage] | None = None  # of a worker process


def _start(source: Source, settings: IngestStage) -> None:
    global _here
    _here = source, settings


def _make_here(file: str, clip: Clip) -> _Made:
    assert _here is not None
    return _make(*_here, file, clip)


def _make(source: Source, settings: IngestStage, file: str, clip: Clip) -> _Made:
    try:
        data = source.read(file)
        x_tmvc = actors(data, file, settings.dataset, settings.ingest)
    except InputError as error:
        return _Made(file, clip, error=str(error))
    bodies = int(x_tmvc.any(axis=(0, 2, 3)).sum())
    return _Made(
        file, clip, hashlib.sha256(data).hexdigest(), stored(x_tmvc, settings.dataset, settings.ingest) if bodies else None, bodies
    )


def _rows(made: Iterable[_Made], out: Path, settings: IngestStage, log: _Log) -> Iterator[tuple[dict[str, Any], np.ndarray]]:
    """Rows and clips for the store; the rest goes to the log, which may raise at the end: then the store's old files stay."""
    actions, kept = settings.dataset.actions, 0
    labels = {action: label for label, action in enumerate(sorted(actions))}
    for item in made:
        if item.error:
            log.unreadable(item.source, item.error)
            continue
        log.hashes[item.source] = item.sha256
        if item.x_tmvc is None:
            log.drop(item.clip.name, item.source, "no body in any frame")
            continue
        kept += 1
        facts = {"bodies": item.bodies, "label": labels[item.clip.action], "action_name": actions[item.clip.action]}
        yield {**vars(item.clip), **facts, "source": item.source, "sha256": item.sha256}, item.x_tmvc
    log.check(kept, out, settings)
