"""Converts raw files to a clip store: reads each file, separates its bodies, centres it, and records what was kept and
dropped.

A data set is read by one job (`ingest`), or by one job per setup, followed by `join`; the store has the same bytes
either way.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from stars.config import Ingest, Settings
from stars.data import common_joints
from stars.data.completeness import absent, completeness
from stars.data.convert import bodies_of, joints_of
from stars.data.dataset import Dataset, obtain
from stars.data.preprocessed.find import KINDS, preprocessed
from stars.data.preprocessed.source import Preprocessed
from stars.data.quality import quality
from stars.data.readers import UNKNOWN, Layout, reader
from stars.data.sources import Source
from stars.data.store import FRAMES, OFFSETS, TABLE, ClipStore, read_table
from stars.errors import InputError
from stars.ingest.identify import identify
from stars.ingest.log import Log
from stars.ingest.read import ReadFile, progress, read_all
from stars.provenance.files import digest, read_json, sha256, write_json
from stars.provenance.record import recording

QUALITY, PART = "quality.json", "part.json"


class IngestStage(Settings):
    """Settings of a clip store; the raw files are its input."""

    name: str
    dataset: Layout
    ingest: Ingest

    @classmethod
    def of(cls, name: str, dataset: Dataset, settings: Ingest) -> IngestStage:
        """Settings for data set `name`."""
        return cls(name=name, dataset=Layout.of(dataset), ingest=settings)


@dataclass
class _Part:
    """Facts about a store, or a setup's part of it, besides its clips."""

    log: Log
    absent: list[str] = field(default_factory=list)
    listed: int | None = None  # names on the authors' list
    hashes: dict[str, str] = field(default_factory=dict)  # of every file read
    complete: dict[str, Any] | None = None

    def facts(self) -> dict[str, Any]:
        """Facts about a part for `join`."""
        return {"dropped": self.log.dropped, "absent": self.absent, "listed": self.listed, "hashes": self.hashes}

    def add(self, facts: dict[str, Any]) -> None:
        """Merge the facts of a part."""
        self.log.dropped += facts["dropped"]
        self.absent += facts["absent"]
        self.listed = self.listed if facts["listed"] is None else facts["listed"]
        self.hashes |= facts["hashes"]

    def read(self) -> dict[str, Any]:
        """For the record: number of files read, and one digest over all."""
        return {"read": len(self.hashes), "sha256_of_names_and_sha256s": digest(sorted(self.hashes.items()))}


def ingest(raw: Path, out: Path, settings: IngestStage, workers: int = 1, setup: int | None = None) -> None:
    """Write the clip store of the raw files in folder or zip `raw` into folder `out`, with the same bytes for any
    `workers`.

    Args:
        setup: read only this setup's clips (possibly none), as a part for `join`; None: all clips.

    Raises:
        InputError: no raw files, or unreadable ones (all are listed) unless `ingest.on_bad_file` is skip.
    """
    raw, out, keys = Path(raw), Path(out), settings.ingest
    # `join` computes an archive's digest once for all setups.
    inputs = given_files(raw=None if setup else raw, missing_list=keys.missing_list)
    # a part's frames are deleted after joining
    outputs = [FRAMES, OFFSETS, TABLE, QUALITY] if setup is None else [OFFSETS, TABLE, PART]
    with recording(out, "stars.ingest", settings.model_dump(mode="json"), inputs, outputs) as notes:
        source, settings = _open(raw, settings)
        table, part = _read_into(source, out, settings, workers, setup)
        notes["raw"] = {"path": str(raw), "reader": settings.dataset.reader, "files": len(source.files), **part.read()}
        if setup is None:
            _finish(table, part, out, settings)
        else:
            write_json(out / PART, {**part.facts(), "sha256_of_frames": sha256(out / FRAMES)})


def given_files(**paths: Path | str | None) -> dict[str, Path]:
    """Role → path of the inputs that are set and are files."""
    return {role: Path(path) for role, path in paths.items() if path and Path(path).is_file()}


def join(parts: Sequence[Path], raw: Path, out: Path, settings: IngestStage) -> None:
    """Concatenate the stores of all setups, by number, into folder `out`, without loading clips into memory.

    Args:
        raw: the raw files, for the record.

    Raises:
        InputError: no part has a clip, or a part is missing or damaged.
    """
    read = {f"{part.name}/{file}": part / file for part in map(Path, parts) for file in (OFFSETS, TABLE, PART)}
    inputs = read | given_files(raw=raw, missing_list=settings.ingest.missing_list)
    with recording(
        out, "stars.ingest", settings.model_dump(mode="json"), inputs, [FRAMES, OFFSETS, TABLE, QUALITY]
    ) as notes:
        whole = _Part(Log(settings.name))
        for part in parts:
            facts = read_json(Path(part) / PART)
            if sha256(Path(part) / FRAMES) != facts["sha256_of_frames"]:
                raise InputError(f"{Path(part) / FRAMES} does not match {PART}: delete {part} and ingest again")
            whole.add(facts)
        _check_whole(sum(len(read_table(Path(part) / TABLE)) for part in parts), whole, settings)
        table = ClipStore.join(
            out, parts, bodies_of(settings.dataset, settings.ingest), joints_of(settings.dataset, settings.ingest)
        )
        notes["raw"] = whole.read()
        _finish(table, whole, Path(out), settings)


def _read_into(
    source: Source, out: Path, settings: IngestStage, workers: int, setup: int | None
) -> tuple[pd.DataFrame, _Part]:
    """Write the store's three files."""
    layout, keys = settings.dataset, settings.ingest
    log = Log(settings.name)
    found = identify(source, layout, keys.missing_list, log, setup)
    # Labels and lists were read to identify the clips, so they count as files read.
    unnamed = isinstance(source, Preprocessed) and any(clip.setup == UNKNOWN for clip in found.everything)
    listed = layout.listed if unnamed else found.listed  # the file's authors dropped these samples
    part = _Part(
        log, absent(found.everything, layout.names) if layout.names and not unnamed else [], listed, dict(source.sha256)
    )
    if keys.missing_list and unnamed:
        print(
            f"data.{settings.name}: ingest.missing_list is not used: the raw files do not name their clips",
            file=sys.stderr,
        )
    files = progress(read_all(source, found.files, layout, keys, workers), len(found.files), settings.name)
    rows = _rows(files, out, settings, part, may_be_empty=setup is not None)
    return ClipStore.write(out, rows, bodies_of(layout, keys), joints_of(layout, keys)), part


def _open(raw: Path, settings: IngestStage) -> tuple[Source, IngestStage]:
    """The raw files, and the settings with their reader: the description's, or one for preprocessed data sets.

    InputError if there are none, naming their home page and the key to set.
    """
    layout = settings.dataset
    advice = obtain(layout.home, settings.name)
    if not raw.exists():
        raise InputError(f"{raw} does not exist: {advice}")
    if (
        raw.is_dir()
        and layout.reader not in KINDS
        and _has_clips(own := Source.open(raw, reader(layout.reader).SUFFIXES), layout)
    ):
        return own, settings
    if found := preprocessed(raw, layout, settings.name):
        kind, source = found
        print(
            f"data.{settings.name}: {raw} is preprocessed ({kind}): other code chose the frames and bodies of its"
            " clips",
            file=sys.stderr,
        )
        return source, settings.model_copy(update={"dataset": layout.model_copy(update={"reader": kind})})
    suffixes = reader(layout.reader).SUFFIXES
    if not (own := Source.open(raw, suffixes)).files:
        _refuse_packed(raw)
        raise InputError(f"{raw} contains no {' or '.join(suffixes)} file: {advice}")
    return own, settings


def _has_clips(source: Source, layout: Layout) -> bool:
    """Whether the description's reader finds clips among these files."""
    try:
        return next(iter(reader(layout.reader).clips(source, layout)), None) is not None
    except InputError:
        return False


def _refuse_packed(raw: Path) -> None:
    """InputError if a preprocessed data set is inside an archive, which is not supported."""
    if packed := next(iter(Source.open(raw, (".npz", ".pkl")).files), None):
        raise InputError(f"{raw}: {packed} is inside an archive: extract it, and name the file or its folder")


def _rows(
    files: Iterable[ReadFile], out: Path, settings: IngestStage, part: _Part, may_be_empty: bool
) -> Iterator[tuple[dict[str, Any], np.ndarray]]:
    """Rows and clips for the store; other files go to the log, which may raise at the end, leaving the old store
    intact.
    """
    actions, kept = settings.dataset.actions, 0
    labels = {action: label for label, action in enumerate(sorted(actions))}
    for file in files:
        if file.error:
            part.log.unreadable(file.source, file.error)
            continue
        part.hashes[file.source] = file.sha256
        for found in file.clips:
            if found.x_tmvc is None:
                part.log.drop(found.clip.name, file.source, found.reason)
                continue
            kept += 1
            facts = {
                "bodies": found.bodies,
                "label": labels[found.clip.action],
                "action_name": actions[found.clip.action],
            }
            numbers = {name: value for name, value in vars(found.clip).items() if name != "span"}
            yield {**numbers, **facts, "source": file.source, "sha256": file.sha256}, found.x_tmvc
    part.log.check(out, settings.ingest)
    if not may_be_empty:
        _check_whole(kept, part, settings)


def _check_whole(kept: int, part: _Part, settings: IngestStage) -> None:
    """Compare with the complete data set; InputError if no clip is left, or if completeness is required."""
    part.log.check_any(kept)
    part.log.dropped.sort(key=lambda entry: (entry["name"], entry["source"]))
    keys = settings.ingest
    part.complete = completeness(kept, part.log.dropped, sorted(part.absent), settings.dataset, part.listed)
    if part.complete and part.complete["explanation"] and keys.complete == "require":
        raise InputError(
            f"data.{settings.name}: {'; '.join(part.complete['explanation'])}: complete the raw files, or set"
            " ingest.complete to report"
        )


def _finish(table: pd.DataFrame, part: _Part, out: Path, settings: IngestStage) -> None:
    """Write quality.json; print a message if the data set is incomplete or loses joints."""
    if settings.ingest.joints == "common":
        print(f"data.{settings.name}: {common_joints.loss(settings.dataset.joints)}", file=sys.stderr)
    bodies = bodies_of(settings.dataset, settings.ingest)
    write_json(out / QUALITY, {**quality(table, part.log.dropped, bodies), "complete": part.complete})
    if part.complete and part.complete["explanation"]:
        print(
            f"data.{settings.name}: {'; '.join(part.complete['explanation'])}. {out / QUALITY} lists all",
            file=sys.stderr,
        )
