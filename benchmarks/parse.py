"""Speed of reading NTU files on one core: `OMP_NUM_THREADS=1 python benchmarks/parse.py`.

Prints files a second for clips of 103 frames (NTU's mean) with one and with two bodies, in this process, with the files
in the system's cache: `parse` is bytes to joints, `clip` adds denoising and centring, `float()` is a plain reader for
comparison; all include reading the file. The ways take turns, and only this thread's processor time counts: other work
on the machine disturbs less.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import yaml

from stars.config import Ingest
from stars.data.convert import actors, stored
from stars.data.dataset import FOLDER, Dataset
from stars.data.readers import Layout, ntu

FRAMES, JOINTS = 103, 25


def skeleton_file(bodies: int, seed: int) -> bytes:
    """A file in NTU's layout with random joints."""
    rng = np.random.default_rng(seed)
    rest = "277.419 191.8218 1036.233 519.1677 -0.2059419 0.05349901 0.9692109 -0.1239193 2"
    lines = [str(FRAMES)]
    for _ in range(FRAMES):
        lines.append(str(bodies))
        for body in range(bodies):
            lines += [f"7205759403793110{body} 0 1 1 1 1 0 0.0276 0.0464 2", str(JOINTS)]
            lines += [
                " ".join(f"{value:.7g}" for value in xyz) + f" {rest}"
                for xyz in rng.normal((0, 0, 3), (0.2, 0.5, 0.1), (JOINTS, 3))
            ]
    return ("\r\n".join(lines) + "\r\n").encode()


def plainly(data: bytes) -> np.ndarray:
    """The same joints, one float() after the other."""
    joint_lines = (words for line in data.split(b"\n") if len(words := line.split()) == ntu.FIELDS)
    return np.array([[float(word) for word in words[:3]] for words in joint_lines], np.float32)


def rates(ways: dict[str, Callable[[Path], object]], paths: list[Path], repeats: int) -> dict[str, tuple[float, float]]:
    """Files a second of each way: the median of all calls, and the best, which is what an idle machine gives."""
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for path in paths * repeats:
        for way, work in ways.items():
            start = time.thread_time()
            work(path)
            seconds[way].append(time.thread_time() - start)
    return {way: (float(1 / np.median(taken)), float(1 / np.min(taken))) for way, taken in seconds.items()}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--files", type=int, default=20, help="different files of each kind")
    arguments.add_argument("--repeats", type=int, default=20, help="times each is read")
    chosen = arguments.parse_args()
    dataset = Dataset(**yaml.safe_load((FOLDER / "ntu60.yaml").read_text(encoding="utf-8")))
    layout, keys = Layout.of(dataset), Ingest()
    ways = {
        "clip": lambda path: stored(actors(path.read_bytes(), path.name, layout, keys), layout, keys),
        "parse": lambda path: ntu.read(path.read_bytes(), path.name, layout),
        "float()": lambda path: plainly(path.read_bytes()),
    }
    with tempfile.TemporaryDirectory() as folder:
        for bodies in (1, 2):
            paths = [Path(folder, f"{bodies}_{seed}.skeleton") for seed in range(chosen.files)]
            for seed, path in enumerate(paths):
                path.write_bytes(skeleton_file(bodies, seed))
            found = rates(ways, paths, chosen.repeats)
            for way, (median, best) in found.items():
                ratio = median / found["float()"][0]
                print(
                    f"{bodies} bodies  {way:8} {median:6.0f} files/s median {best:6.0f} best  {ratio:5.2f} times"
                    " float()",
                    flush=True,
                )


if __name__ == "__main__":
    main()
