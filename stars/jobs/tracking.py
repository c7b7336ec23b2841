"""Training curves as TensorBoard event files (docs/report.md): from curve.csv for finished trainings, from the log for
running ones.

Results are only read, so no job depends on this. TensorBoard's own package writes the files, and `tensorboard` shows
them; nothing leaves the machine.
"""

from __future__ import annotations

import csv
import hashlib
import importlib.util
import logging
import re
import shutil
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from stars.errors import InputError
from stars.provenance.files import atomic

FOLDER = Path("logs/tensorboard")  # in the results folder
LIVE = "live"
SECONDS = 10.0  # between two updates: logs get new lines as often
# stars.training.progress
LINE = re.compile(r"^\w+: step (\d+)/(\d+)  epoch \S+  loss (\S+)  (\d+) clips/s", re.MULTILINE)
FILE = "events.out.tfevents."  # prefix of TensorBoard's files; it reads those of a folder in the order of their names
Row = tuple[int, dict[str, float]]  # steps done, tag → value


def check() -> None:
    """InputError if TensorBoard's package is not installed."""
    if importlib.util.find_spec("tensorboard") is None:
        raise InputError(
            "tracking needs the package tensorboard: pip install 'stars-skeleton[tracking]', or '.[tracking]' in a"
            " clone"
        )


class Tracker:
    """Event files of one results folder.

    Attributes:
        folder: the folder that contains them, for `tensorboard --logdir`.
    """

    def __init__(self, results: Path) -> None:
        check()
        self.results, self.folder = results, results / FOLDER
        self._live: dict[Path, tuple[list[Row], BinaryIO]] = {}  # log → rows written, and their file
        shutil.rmtree(self.folder / LIVE, ignore_errors=True)

    def look(self) -> int:
        """Update the event files; returns the number of trainings in them. InputError if a curve is damaged."""
        count = 0
        for path in sorted(self.results.glob("*/*/**/curve.csv")):
            with suppress(FileNotFoundError):  # Snakemake deletes the results that a job will rebuild
                count += sum(self._ended(run, rows, path) for run, rows in _curves(path))
        for log in sorted(self.results.glob("logs/*/*/*.log")):
            with suppress(FileNotFoundError):
                count += self._under_way(log)
        return count

    def close(self) -> None:
        for _, file in self._live.values():
            file.close()

    def _ended(self, run: str, rows: list[Row], curve: Path) -> bool:
        """Write a curve as a separate TensorBoard run; the file name contains the curve's time and digest, so it is
        written once.
        """
        moment = curve.stat().st_mtime
        folder = self.folder / curve.parent.relative_to(self.results) / run
        path = folder / f"{FILE}{moment:010.0f}.{hashlib.sha256(repr(rows).encode()).hexdigest()[:12]}"
        if rows and not path.exists():
            with atomic(path) as temporary, temporary.open("wb") as file:
                _write(file, rows, moment, new=True)
            for other in folder.glob(f"{FILE}*"):
                if other != path:
                    other.unlink()
        return bool(rows)

    def _under_way(self, log: Path) -> bool:
        """Write the rows in the log of a running training; delete them once it has reached its last step."""
        rows = _progress(log.read_text(encoding="utf-8", errors="replace"))
        folder = self.folder / LIVE / log.relative_to(self.results / "logs").with_suffix("")
        before: list[Row] = []
        file: BinaryIO | None = None
        if log in self._live:
            before, file = self._live.pop(log)
        # another training, none, or deleted
        if file and (not rows or rows[: len(before)] != before or not Path(file.name).exists()):
            file.close()
            shutil.rmtree(folder, ignore_errors=True)
            before, file = [], None
        if rows:
            if file is None:
                folder.mkdir(parents=True, exist_ok=True)
                file = (folder / f"{FILE}{time.time():010.0f}").open("wb")
            _write(file, rows[len(before) :], time.time(), new=not before)
            self._live[log] = rows, file
        return bool(rows)


def follow(tracker: Tracker, ended: threading.Event) -> None:
    """Update repeatedly until `ended`, and once after it."""
    while not ended.wait(SECONDS):
        tracker.look()
    tracker.look()


class Follower(logging.Handler):
    """Handler of Snakemake's logger: follows the results from the first job of a run until Snakemake ends.

    Errors are printed as one line. InputError if TensorBoard's package is not installed.
    """

    def __init__(self, results: Path) -> None:
        super().__init__()
        check()
        self.results, self.ended = results, threading.Event()
        self.thread = threading.Thread(target=self._follow, daemon=True)

    def emit(self, record: logging.LogRecord) -> None:
        if str(getattr(record, "event", "")) == "job_started" and self.thread.ident is None:
            self.thread.start()

    def _follow(self) -> None:
        try:
            follow(Tracker(self.results), self.ended)
        except (InputError, OSError) as error:
            print(f"stars: tracking stopped: {error}", file=sys.stderr)

    def close(self) -> None:
        """Called by Python at exit."""
        self.ended.set()
        if self.thread.ident is not None:
            self.thread.join()
        super().close()


def _curves(path: Path) -> Iterator[tuple[str, list[Row]]]:
    """The curves of a curve.csv, each with the name of its run in the file's folder: a protocol on several subsets
    has one curve per subset.
    """
    found: dict[str, list[Row]] = {}
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        try:
            for row in reader:
                run = f"subset{row.pop('subset')}" if "subset" in row else ""
                step = int(row.pop("step"))
                found.setdefault(run, []).append(
                    (step, {name: float(cell) for name, cell in row.items() if cell and name != "epoch"})
                )
        except (KeyError, TypeError, ValueError, csv.Error) as error:
            raise InputError(f"{path}, line {reader.line_num}: expected a training curve's numbers ({error})") from None
    yield from found.items()


def _progress(text: str) -> list[Row]:
    """Steps with loss and speed, after the last finished training in a log."""
    rows: list[Row] = []
    for step, last, loss, speed in LINE.findall(text):
        rows = [] if step == last else [*rows, (int(step), {"loss": float(loss), "clips per second": float(speed)})]
    return rows


def _write(file: BinaryIO, rows: Iterable[Row], moment: float, new: bool = False) -> None:
    """Append events, after the head of a new file. All rows get the time `moment` (seconds since 1970), since curves
    contain no times.
    """
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.record_writer import RecordWriter

    writer = RecordWriter(file)
    if new:
        writer.write(Event(wall_time=moment, file_version="brain.Event:2").SerializeToString())
    for step, values in rows:
        told = Summary(value=[Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()])
        writer.write(Event(wall_time=moment, step=step, summary=told).SerializeToString())
    writer.flush()
