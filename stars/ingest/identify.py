"""Identifies the clips in the raw files, before reading joints."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from stars.data.completeness import LISTED
from stars.data.preprocessed.source import Preprocessed
from stars.data.readers import UNKNOWN, Clip, Layout, reader
from stars.data.sources import Source
from stars.errors import InputError
from stars.ingest.log import Log

Files: TypeAlias = dict[str, list[Clip]]  # file → its clips to read


@dataclass(frozen=True)
class Identified:
    """The clips to read.

    Attributes:
        files: ordered so that their clips are sorted by name.
        everything: every clip in the files, including skipped ones.
        listed: number of names on the authors' list of missing samples; None: no list.
    """

    files: Files
    everything: list[Clip]
    listed: int | None


def identify(
    source: Source, layout: Layout, missing_list: str | None, log: Log, setup: int | None = None
) -> Identified:
    """Identify the clips of the raw files, or of one `setup`; skipped ones go to the log.

    Raises:
        InputError: two files, or two places in one, are the same clip; or the list is invalid.
    """
    files = _of_data_set(source, layout, log, setup)
    everything = [clip for clips in files.values() for clip in clips]
    listed = _listed(missing_list, layout) if missing_list else None
    for file, clips in files.items():
        for clip in clips:
            if listed and clip.name in listed:
                log.drop(clip.name, file, LISTED)
        files[file] = sorted((clip for clip in clips if not (listed and clip.name in listed)), key=_name)
    in_order = sorted(((file, clips) for file, clips in files.items() if clips), key=lambda item: item[1][0].name)
    return Identified(dict(in_order), everything, None if listed is None else len(listed))


def _name(clip: Clip) -> str:
    return clip.name


def _of_data_set(source: Source, layout: Layout, log: Log, setup: int | None) -> Files:
    """Every file whose clips match the description."""
    files: Files = {}
    of_name: dict[str, str] = {}
    unsaid = (UNKNOWN,) if isinstance(source, Preprocessed) else ()
    for file, found in reader(layout.reader).clips(source, layout):
        if setup not in (None, _job_of(found, layout)):
            continue
        if isinstance(found, InputError):
            log.unreadable(file, str(found))
        elif found and layout.setups and found[0].setup not in (*unsaid, *layout.setups):
            log.drop(found[0].name, file, f"setup {found[0].setup} is not this data set's")
        elif error := next(filter(None, (_unknown(clip, layout, log.name, unsaid) for clip in found)), None):
            log.unreadable(file, error)
        else:
            files[file] = found
            _check_single(file, found, of_name, source)
    return files


def _job_of(found: list[Clip] | InputError, layout: Layout) -> int:
    """The setup whose job reads a file; the first setup's job reports files without a setup."""
    setups = layout.setups or (1,)
    return found[0].setup if not isinstance(found, InputError) and found and found[0].setup in setups else setups[0]


def _unknown(clip: Clip, layout: Layout, name: str, unsaid: tuple[int, ...]) -> str:
    """The error if a clip's action or subject is not in the description, otherwise ""; `unsaid`: placeholders for an
    unknown subject.
    """
    for what, value, known in (("action", clip.action, layout.actions), ("subject", clip.subject, layout.subjects)):
        if known is not None and value not in (*unsaid, *known):
            advice = f"set data.{name}.dataset to a description that has it"
            return f"{clip.name}: {what} {value} is not among the data set's {len(known)} {what}s: {advice}"
    return ""


def _check_single(file: str, clips: list[Clip], of_name: dict[str, str], source: Source) -> None:
    for clip in clips:
        if clip.name in of_name:
            raise InputError(
                f"{source.root}: {of_name[clip.name]} and {file} are both clip {clip.name}: keep one of them"
            )
        of_name[clip.name] = file


def _listed(path: str, layout: Layout) -> set[str]:
    """The clip names in the authors' list; other words are ignored."""
    try:
        words = set(Path(path).read_text(encoding="utf-8-sig").split())
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"ingest.missing_list: {path} cannot be read as text ({error}): name the authors' list, or null"
        ) from None
    if layout.names:
        form = re.compile(re.sub(r"\{\w+:0(\d)\}", r"\\d{\1}", layout.names), re.ASCII)
        words = {word for word in words if form.fullmatch(word)}
    if not words:
        raise InputError(f"ingest.missing_list: {path} contains no clip name: name the authors' list, or null")
    return words
