"""PKU-MMD I and II: long videos, cut into clips according to their label files.

0002-L.txt, A10N08-L.txt     a video from the left, middle or right camera, with the same name in both kinds of file;
skeletons                    one line per frame: 2 bodies x 25 joints x xyz in metres, zeros for absent bodies;
labels, in a folder whose    one line per clip: action, start, end, confidence; frames [start, end) of the video,
name contains "label"        counted from 0.
"""

from __future__ import annotations

import math
import re
import warnings
from collections import Counter
from pathlib import PurePosixPath

import numpy as np

from stars.data.readers import FARTHEST, Clip, Found, Layout, unreadable
from stars.data.sources import Source
from stars.errors import InputError

SUFFIXES: tuple[str, ...] = (".txt",)
BODIES = 2
CAMERAS = {"L": 1, "M": 2, "R": 3}
_VIDEO = re.compile(r"(?:\d{4}|A\d{2}N\d{2})-([LMR])\.txt", re.ASCII)
_LABEL = re.compile(r"\s*(\d{1,9})\s*,\s*(\d{1,9})\s*,\s*(\d{1,9})\s*,\s*\d{1,9}\s*", re.ASCII)


def clips(source: Source, layout: Layout) -> Found:
    """Every video with its labelled clips. A video without labels or labels without a video are errors; other files
    are ignored.
    """
    named = {file: PurePosixPath(file) for file in source.files if _VIDEO.fullmatch(PurePosixPath(file).name)}
    labels = {path.name: file for file, path in named.items() if _in_label_folder(path)}
    videos = {file: path.name for file, path in named.items() if not _in_label_folder(path)}
    for file, name in videos.items():
        try:
            yield file, _labelled(name, labels, source)
        except InputError as error:
            yield file, error
    for name in sorted(labels.keys() - videos.values()):
        yield labels[name], InputError(f"{labels[name]}: the video of these labels is not among the raw files: add it")


def _in_label_folder(path: PurePosixPath) -> bool:
    return any("label" in folder.lower() for folder in path.parts[:-1])


def _labelled(name: str, labels: dict[str, str], source: Source) -> list[Clip]:
    if name not in labels:
        raise InputError(
            f"{name}: no label file of that name in a folder whose name contains 'label': add it, or remove the video"
        )
    return segments(source.read(labels[name]), labels[name])


def segments(data: bytes, source: str) -> list[Clip]:
    """The clips listed in a label file's bytes, named video_start-end_action so that names sort by time.

    Raises:
        InputError: file, line, expected and found.
    """
    name = PurePosixPath(source).name
    camera = CAMERAS[_VIDEO.fullmatch(name).group(1)]  # type: ignore[union-attr]
    found: list[Clip] = []
    times: Counter[str] = Counter()
    for number, line in enumerate(data.splitlines(), 1):
        if not line.strip():
            continue
        match = _LABEL.fullmatch(line.decode("utf-8", "replace"))
        if not match:
            unreadable(source, number, "action, start, end, confidence: whole numbers with commas", line)
        action, start, end = map(int, match.groups())
        if start >= end:
            unreadable(source, number, "a start before the end", f"{start}, {end}")
        clip = f"{name.removesuffix('.txt')}_{start:06}-{end:06}_A{action:02}"
        times[clip] += 1
        found.append(Clip(clip + (f"_{times[clip]}" if times[clip] > 1 else ""), action, 0, camera, span=(start, end)))
    return found


def read(data: bytes, source: str, layout: Layout) -> np.ndarray:
    """A video's joints, (T, 2, V, 3) float32 in metres.

    Raises:
        InputError: file, line, expected and found.
    """
    values = BODIES * len(layout.joints) * 3
    lines = data.rstrip().splitlines()
    if not lines:
        unreadable(source, 1, f"a frame, {values} numbers", "an empty file")
    frames = _all_at_once(lines)
    if frames is None or frames.shape != (len(lines), values) or not (np.abs(frames) <= FARTHEST).all():
        frames = np.stack([_frame(line, values, source, number) for number, line in enumerate(lines, 1)])
    return frames.astype(np.float32).reshape(len(lines), BODIES, len(layout.joints), 3)


def _all_at_once(lines: list[bytes]) -> np.ndarray | None:
    """Parse all lines with NumPy, four times as fast as word by word; None if NumPy fails."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # raised if there are no numbers at all
        try:
            return np.loadtxt(lines, comments=None, ndmin=2)
        except (ValueError, UserWarning):
            return None


def _frame(line: bytes, values: int, source: str, number: int) -> np.ndarray:
    """Parse a line word by word, with an error that names the problem."""
    words = line.split()
    if len(words) != values:
        unreadable(source, number, f"a frame, {values} numbers", f"{len(words)}")
    x = np.array([_number(word) for word in words])
    if not (np.abs(x) <= FARTHEST).all():
        unreadable(source, number, "coordinates in metres", words[int(np.argmin(np.abs(x) <= FARTHEST))])
    return x


def _number(word: bytes) -> float:
    """The word's number, or NaN; underscores, which Python accepts, are invalid."""
    try:
        return math.nan if b"_" in word else float(word)
    except ValueError:
        return math.nan
