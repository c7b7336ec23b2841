"""Processor time and memory of the quality page: `OMP_NUM_THREADS=1 python benchmarks/quality.py [--clips 12000]`.

The store holds simulated clips of 83 frames on average, over and over, every third one of two bodies, in NTU's
skeleton; 12,000 of them are a million frames, 113,945 the size of NTU-120 (5.7 GB on disk while it runs). Measuring
alone is timed, and the page, which also takes the sha256 of the store for its record.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import yaml

from stars.config import Inspect, Simulate
from stars.data.dataset import FOLDER, Dataset
from stars.data.quality import quality
from stars.data.simulate.performance import Performance, perform
from stars.data.store import ClipStore
from stars.inspect.measures import measure
from stars.inspect.page import QUALITY, InspectStage, page
from stars.inspect.skeleton import Skeleton
from stars.provenance.record import peak_memory_mb

DISTINCT, SETTINGS = 60, Simulate(frames=(46, 120))


def clips(number: int) -> Iterator[tuple[dict, np.ndarray]]:
    """Rows and joints (T, 2, 25, 3) of `number` clips."""
    noise = np.random.default_rng(0)
    distinct = []
    for take in range(DISTINCT):
        action = 16 + take % 5 if take % 3 == 0 else 1 + take % 15
        people = perform(SETTINGS.seed, Performance(1, 1 + take % 10, 1, action), SETTINGS)
        x_tmvc = np.zeros((people.shape[1], 2, 25, 3), np.float32)
        x_tmvc[:, : len(people)] = np.moveaxis(people + noise.normal(0, 0.002, people.shape), 0, 1)
        distinct.append((action, len(people), x_tmvc))
    for index, (action, bodies, x_tmvc) in enumerate(islice(cycle(distinct), number)):
        place = {
            "name": f"clip{index:06}",
            "action": action,
            "subject": 1 + index % 106,
            "camera": 1 + index % 3,
            "setup": 1 + index % 32,
        }
        rest = {
            "replication": 1,
            "bodies": bodies,
            "label": action - 1,
            "action_name": "",
            "source": f"clip{index:06}",
            "sha256": "",
        }
        yield place | rest, x_tmvc


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=12_000)
    chosen = parser.parse_args()
    dataset = Dataset(**yaml.safe_load((FOLDER / "demo.yaml").read_text(encoding="utf-8")))
    with tempfile.TemporaryDirectory() as folder:
        store, out = Path(folder, "clips"), Path(folder, "page")
        table = ClipStore.write(store, clips(chosen.clips), 2, 25)
        (store / QUALITY).write_text(json.dumps(quality(table, [], 2)))
        opened, before = ClipStore.open(store), peak_memory_mb()
        began = time.process_time()
        measure(opened, Skeleton.of(dataset), dataset.fps, Inspect().still)
        measured = time.process_time()
        page(store, store, out, InspectStage(name="demo", dataset=dataset, splits=(), inspect=Inspect()))
        done = time.process_time()
        million = len(opened.frames) / 1e6
    print(f"{chosen.clips:,} clips, {million:.2f} million frames, {opened.frames.nbytes / 1e9:.2f} GB")
    for what, seconds in (("measuring", measured - began), ("page and record", done - measured)):
        print(f"{what:16} {seconds:6.1f} s of processor time, {seconds / million:.2f} s a million frames")
    print(f"peak memory {peak_memory_mb():.0f} MB ({before:.0f} MB before)")


if __name__ == "__main__":
    main()
