"""Rates of this machine for `stars plan`, as lines of config/rates.csv: `python benchmarks/rates.py --name "8-core
Xeon" >> config/rates.csv`.

Stage 1 and the encoder at the paper's size, in fp32 and in bf16 (T = 120, 25 joints, two bodies of which the second is
empty in three of four clips), the median of a few steps; reading of simulated NTU files by one process; what a job
costs before it does any work; and all else that a plan counts (`stars.plan.besides`).

With one CPU thread, the rates are per second of CPU time, since jobs of one thread share a machine; otherwise per
second. `--copies N` runs the benchmark N times at once and prints the rates of one copy: jobs that run side by side
slow each other down.
"""

from __future__ import annotations

import argparse
import csv
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch

from stars.backbones.transformer import Network
from stars.bench.steps import random_clips, stage_1
from stars.config import Embed, Model, Pretrain
from stars.data.simulate import simulate
from stars.data.simulate.stage import SimulateStage
from stars.data.store import COLUMNS, FRAMES, ClipStore
from stars.evaluation.features import encode
from stars.evaluation.knn import neighbours
from stars.evaluation.projection import tsne, unit
from stars.ingest import IngestStage, ingest
from stars.pipeline import configuration
from stars.plan import besides
from stars.plan.encoder import JOINTS, Encoder, encoder_flops
from stars.plan.rates import FIELDS, UNITS
from stars.plan.work import Size, amount
from stars.provenance.files import sha256
from stars.provenance.record import cpu_seconds
from stars.views.crop import Clips

SINGLE = 0.75  # share of the random clips with one body
DRAWING = """
    from pathlib import Path
    from stars import figure_style
    with figure_style.figure(4) as drawn:
        for axis in drawn.subplots(2, 2).flat:
            axis.plot([0, 1], label="a")
            axis.legend()
        figure_style.save(drawn, Path({folder!r}) / "drawn")
"""
OPTIMISER = "import torch; torch.optim.AdamW([torch.zeros(1)])"  # which imports torch._dynamo
BODIES, BOTH = 2 - SINGLE, 2  # that are computed, and that a clip has room for


def seconds(work: Callable[[], None], device: str, repeats: int) -> float:
    """Median time of `work`, the device's included, after one that is not counted."""
    clock = cpu_seconds if device == "cpu" and torch.get_num_threads() == 1 else time.perf_counter
    measured = []
    for _ in range(repeats + 1):
        began = clock()
        work()
        if device == "cuda":
            torch.cuda.synchronize()
        measured.append(clock() - began)
    return statistics.median(measured[1:])


def training(device: str, batch: int, precision: str, repeats: int) -> float:
    """Operations a second of a step of stage 1."""
    clips = random_clips(max(256, batch), JOINTS, SINGLE, device)
    step = stage_1(Model(), Pretrain(precision=precision), JOINTS, clips)
    one_step = {"pretrain": Pretrain().model_dump(mode="json") | {"optimiser": {"epochs": 1, "batch": batch}}}
    return amount("pretrain", one_step, Encoder.transformer(Model()), Size(batch, 0, BODIES)).amount / seconds(
        lambda: step(batch, 0), device, repeats
    )


def encoding(device: str, batch: int, precision: str, repeats: int) -> float:
    """Operations a second of the encoder on whole clips."""
    clips, encoder = random_clips(4 * batch, JOINTS, SINGLE, device), Network(Model(), JOINTS).to(device).eval()
    settings = Embed(precision=precision)
    return (
        4
        * batch
        * BODIES
        * encoder_flops(Model(), JOINTS)
        / seconds(lambda: encode(encoder, clips, settings), device, repeats)
    )


def reading(folder: Path) -> float:
    """Raw files a second of one process."""
    config = configuration.load({"data": {"demo": {"dataset": "demo", "simulate": {"clips": 300}}}})
    simulate(folder / "raw.zip", SimulateStage.model_validate(configuration.stage_settings(config, "simulate", "demo")))
    settings = IngestStage.model_validate(configuration.stage_settings(config, "ingest", "demo"))
    return 300 / seconds(lambda: ingest(folder / "raw.zip", folder / "clips", settings), "cpu", 3)


def start(module: str, folder: Path, then: str = "pass") -> float:
    """Seconds of a job that imports what it needs and writes its record, but does nothing else."""
    script = f"""
import stars.cli.running, stars.provenance.record, {module}
with stars.provenance.record.recording({str(folder)!r}, "{module}", {{}}, {{}}, []):
    {then}
"""
    command = [sys.executable, "-c", script]
    return seconds(lambda: subprocess.run(command, check=True), "cpu", 3)  # type: ignore[arg-type,return-value]


def hashing(store: Path) -> float:
    """Bytes per second of a clip store's digest."""
    return ClipStore.open(store).frames.nbytes / seconds(lambda: sha256(store / FRAMES), "cpu", 3)  # type: ignore[arg-type,return-value]


def loading(store: Path) -> float:
    """Bytes per second of clips read into memory and examined; as in a job, memory is used for the first time."""
    opened, held = ClipStore.open(store), []

    def load() -> None:
        held.append(clips := Clips.of(opened, np.arange(len(opened))))
        _ = clips.looked_at

    return opened.frames.nbytes / seconds(load, "cpu", 3)


def cutting(device: str, batch: int) -> float:
    """Frames of a body a second that are cut and given to a network that computes next to nothing."""
    shape = Model(frames=32, segment=16, width=8, depth=1, heads=1, hidden=8)
    clips, encoder = random_clips(16 * batch, JOINTS, SINGLE, device), Network(shape, JOINTS).to(device).eval()
    return len(clips) * BOTH * shape.frames / seconds(lambda: encode(encoder, clips, Embed()), device, 3)


def copying(store: Path, folder: Path) -> float:
    """Bytes a second of a clip store that is copied, and whose digest is taken before and after."""
    opened = ClipStore.open(store)

    def copy() -> None:
        sha256(store / FRAMES)
        ClipStore.join(folder, [store], BOTH, JOINTS)
        sha256(folder / FRAMES)

    return opened.frames.nbytes / seconds(copy, "cpu", 3)


def comparing(queries: int = 4000, references: int = 40_000, k: int = 10) -> float:
    """Operations per second of a nearest-neighbour search, in the unit of a plan; as many references as NTU-60 XSub."""
    width, labels = Model().width, np.zeros(references, np.int64)
    features = np.random.default_rng(0).normal(size=(references, width)).astype(np.float32)
    counted = 2.0 * width * besides.searched(queries, references, k)
    return counted / seconds(lambda: neighbours(features[:queries], features, labels, k), "cpu", 3)  # type: ignore[arg-type,return-value]


def placing(clips: int = 8000, width: int = 256) -> float:
    """Points per second that a t-SNE of 4,000 points places."""
    features = unit(np.random.default_rng(0).normal(size=(clips, width)).astype(np.float32))
    counted = amount("map", {"points": clips}, Encoder.transformer(Model()), Size(0, clips, BODIES))
    return counted.besides["place"] / seconds(lambda: tsne(features, 30.0, 0), "cpu", 1)


def random_store(folder: Path, clips: int = 10_000) -> Path:
    """A clip store of random clips as long as those that a plan counts with, most with one body."""
    rng = np.random.default_rng(0)

    def stream() -> Iterator[tuple[dict[str, Any], np.ndarray]]:
        for number in range(clips):
            x_tmvc = rng.normal(size=(besides.FRAMES, BOTH, JOINTS, 3)).astype(np.float32)
            x_tmvc[:, 1] *= number % 4 == 0
            row: dict[str, Any] = {column: 1 for column in COLUMNS if column != "frames"}
            yield {**row, "name": f"c{number}", "action_name": "a", "source": "a", "sha256": "0"}, x_tmvc

    ClipStore.write(folder, stream(), BOTH, JOINTS)
    return folder


@contextmanager
def beside(options: argparse.Namespace) -> Iterator[None]:
    """Run the other copies of this benchmark meanwhile."""
    given = {name: value for name, value in vars(options).items() if value is not None} | {"copies": 1}
    command = [sys.executable, __file__, *(f"--{name}={value}" for name, value in given.items())]
    copies = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for _ in range(options.copies - 1)]
    try:
        yield
        if any(copy.poll() for copy in copies):
            sys.exit("a copy of the benchmark failed: the rates would be those of fewer copies")
    finally:
        for copy in copies:
            copy.terminate()
            copy.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--name", required=True, help="what the machine is called")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--batch", type=int, help="clips a step [8, on a GPU 128]")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="CPU threads")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--copies", type=int, default=1, help="run so many at once, and print the rates of one")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # removes the temporary folder
    torch.set_num_threads(options.threads)
    batch = options.batch or (128 if options.device == "cuda" else 8)
    with tempfile.TemporaryDirectory() as folder, beside(options):
        found = {
            "train": training(options.device, batch, "fp32", options.repeats) / 1e9,
            "encode": encoding(options.device, batch, "fp32", options.repeats) / 1e9,
            "train bf16": training(options.device, batch, "bf16", options.repeats) / 1e9,
            "encode bf16": encoding(options.device, batch, "bf16", options.repeats) / 1e9,
            "read": reading(Path(folder)),
            "start": start("stars.evaluation.knn", Path(folder)),
            "light": start("stars.data.subsets", Path(folder)),
            "train start": start("stars.training.tune", Path(folder), OPTIMISER),
            "draw start": start("stars.paper.curves", Path(folder), DRAWING.format(folder=folder)),
            "hash": hashing(store := random_store(Path(folder) / "random")) / 1e6,
            "load": loading(store) / 1e6,
            "cut": cutting(options.device, 64),
            "copy": copying(store, Path(folder) / "copied") / 1e6,
            "compare": comparing() / 1e9,
            "place": placing(),
        }
    source = f"benchmarks/rates.py, batch {batch}, threads {options.threads}, copies {options.copies}"
    source += f", torch {torch.__version__}, {date.today()}"
    writer = csv.DictWriter(sys.stdout, FIELDS, lineterminator="\n")
    for work, rate in found.items():
        gpu = "yes" if options.device == "cuda" else "no"
        writer.writerow(
            {
                "machine": options.name,
                "gpu": gpu,
                "work": work,
                "rate": f"{rate:.4g}",
                "unit": UNITS[work],
                "source": source,
            }
        )


if __name__ == "__main__":
    main()
