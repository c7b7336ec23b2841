"""Time and memory of making a clip store from a zip of simulated NTU files: does the cost of a file stay as their
number grows?

    python benchmarks/ingest.py [--files 20000] [--small 114480] [--workers 2]

Two kinds of file, of NTU's true length (103 frames on average) and short ones, each ingested twice, a tenth of the
files and all of them, by a process of its own. The archives hold a few hundred different recordings under many names
and are removed at the end.
"""

from __future__ import annotations

import argparse
import io
import os
import resource
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr
from itertools import cycle, islice, product
from multiprocessing import Pipe, get_context
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Event, Thread

import yaml

from stars.config import Ingest, Simulate
from stars.data.dataset import FOLDER, Dataset
from stars.data.simulate import files, plan
from stars.data.simulate.layouts.ntu import name_of
from stars.data.simulate.performance import Performance
from stars.data.simulate.stage import SimulateStage
from stars.ingest import IngestStage, ingest

DISTINCT = 200
KINDS = {
    "true length": Simulate(frames=(56, 150), clips=DISTINCT),
    # the denoising leaves no body that is seen less
    "short": Simulate(frames=(12, 16), clips=DISTINCT, ghosts=0, dropped=0, switches=0),
}


def archive(path: Path, settings: SimulateStage, number: int) -> None:
    """A zip of `number` files named as NTU-120's."""
    texts = cycle([text for _, text in files(settings, plan(settings))])
    takes = islice(product(range(1, 33), range(1, 11), range(1, 3), range(1, 61), range(1, 4)), number)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as opened:
        for *performance, camera in takes:
            opened.writestr(name_of(Performance(*performance), camera), next(texts))
    with path.open("rb") as file:
        os.fsync(file.fileno())  # what follows shall not wait for these bytes to reach the disk


def measured(work: Callable[..., None], *arguments: object) -> tuple[float, float, float]:
    """Seconds, seconds of processor time, and peak memory in MB of `work` and the processes it starts, in a new
    process.
    """
    ours, theirs = Pipe(duplex=False)
    process = get_context("spawn").Process(target=_timed, args=(theirs, work, *arguments))
    process.start()
    theirs.close()  # so that its end is noticed
    done, peaks = Event(), dict[int, int]()
    watch = Thread(target=_watch, args=(process.pid, peaks, done))
    watch.start()
    seconds, busy = ours.recv()
    process.join()
    done.set()
    watch.join()
    return seconds, busy, sum(peaks.values()) / 1000


def _timed(result: Connection, work: Callable[..., None], *arguments: object) -> None:
    start = time.perf_counter()
    with redirect_stderr(io.StringIO()):  # progress, and that the set is not whole
        work(*arguments)
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    result.send((time.perf_counter() - start, sum(each.ru_utime + each.ru_stime for each in used)))


def _watch(process: int, peaks: dict[int, int], done: Event) -> None:
    """Keep each process' greatest resident memory in kB. Their sum is an upper bound: they need not peak together,
    and share libraries.
    """
    while not done.wait(0.1):
        for each in _tree(process):
            try:
                status = Path(f"/proc/{each}/status").read_text()
            except OSError:
                continue  # it has ended
            if "VmHWM:" in status:
                peaks[each] = int(status.split("VmHWM:")[1].split()[0])


def _tree(process: int) -> Iterator[int]:
    yield process
    for tasks in Path(f"/proc/{process}/task").glob("*/children"):
        for child in tasks.read_text().split():
            yield from _tree(int(child))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=2000, help="files of true length")
    parser.add_argument("--small", type=int, default=11_448, help="short files")
    parser.add_argument("--workers", type=int, default=2, help="processes that read")
    chosen = parser.parse_args()
    dataset = Dataset(**yaml.safe_load((FOLDER / "ntu120.yaml").read_text(encoding="utf-8")))
    stage = IngestStage.of("ntu120", dataset, Ingest())
    print("length        files  raw MB     s  files/s  processor ms a file  peak MB", flush=True)
    for (kind, settings), number in zip(KINDS.items(), (chosen.files, chosen.small), strict=True):
        for some in (number // 10, number):
            with tempfile.TemporaryDirectory() as folder:
                raw = Path(folder, "raw.zip")
                archive(raw, SimulateStage.of(dataset, settings), some)
                seconds, busy, peak = measured(ingest, raw, Path(folder, "clips"), stage, chosen.workers)
                size = raw.stat().st_size / 1e6
            print(
                f"{kind:11} {some:7} {size:7.0f} {seconds:5.0f} {some / seconds:8.0f} {1000 * busy / some:20.2f}"
                f" {peak:8.0f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
