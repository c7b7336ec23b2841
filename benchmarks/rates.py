"""Rates of this machine for `stars plan`, as lines of config/rates.csv: `python benchmarks/rates.py --name "8-core Xeon" >> config/rates.csv`.

Stage 1 and the encoder at the paper's size, in fp32 and in bf16 (T = 120, 25 joints, two bodies of which the second is empty in three of four clips), the
median of a few steps; reading of simulated NTU files by one process; what a job costs before it does any work.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

import torch

from stars.backbones.transformer import Network
from stars.bench.steps import random_clips, stage_1
from stars.config import Embed, Model, Pretrain, Simulate
from stars.data.simulate import simulate
from stars.evaluation.features import encode
from stars.ingest import IngestStage, ingest
from stars.pipeline import configuration
from stars.plan.encoder import JOINTS, Encoder, encoder_flops
from stars.plan.rates import FIELDS, UNITS
from stars.plan.work import Size, amount

SINGLE = 0.75  # share of the random clips with one body
BODIES = 2 - SINGLE


def seconds(work: Callable[[], None], device: str, repeats: int) -> float:
    """Median time of `work`, the device's included, after one that is not counted."""
    measured = []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        work()
        if device == "cuda":
            torch.cuda.synchronize()
        measured.append(time.perf_counter() - began)
    return statistics.median(measured[1:])


def training(device: str, batch: int, precision: str, repeats: int) -> float:
    """Operations a second of a step of stage 1."""
    clips = random_clips(max(256, batch), JOINTS, SINGLE, device)
    step = stage_1(Model(), Pretrain(precision=precision), JOINTS, clips)
    one_step = {"pretrain": Pretrain().model_dump(mode="json") | {"optimiser": {"epochs": 1}}}
    return amount("pretrain", one_step, Encoder.transformer(Model()), Size(batch, 0, BODIES)).amount / seconds(
        lambda: step(batch, 0), device, repeats
    )


def encoding(device: str, batch: int, precision: str, repeats: int) -> float:
    """Operations a second of the encoder on whole clips."""
    clips, encoder = random_clips(4 * batch, JOINTS, SINGLE, device), Network(Model(), JOINTS).to(device).eval()
    settings = Embed(precision=precision)
    return 4 * batch * BODIES * encoder_flops(Model(), JOINTS) / seconds(lambda: encode(encoder, clips, settings), device, repeats)


def reading(folder: Path) -> float:
    """Raw files a second of one process."""
    simulate(folder / "raw.zip", Simulate(clips=300))
    config = configuration.load({"data": {"demo": {"dataset": "demo", "simulate": {}}}})
    settings = IngestStage.model_validate(configuration.stage_settings(config, "ingest", "demo"))
    return 300 / seconds(lambda: ingest(folder / "raw.zip", folder / "clips", settings), "cpu", 3)


def start() -> float:
    """Seconds until a job has imported what it needs."""
    return seconds(lambda: subprocess.run([sys.executable, "-c", "import stars.evaluation.linear"], check=True), "cpu", 3)  # type: ignore[arg-type,return-value]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--name", required=True, help="what the machine is called")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--batch", type=int, help="clips a step [8, on a GPU 128]")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="CPU threads")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    batch = options.batch or (128 if options.device == "cuda" else 8)
    with tempfile.TemporaryDirectory() as folder:
        found = {
            "train": training(options.device, batch, "fp32", options.repeats) / 1e9,
            "encode": encoding(options.device, batch, "fp32", options.repeats) / 1e9,
            "train bf16": training(options.device, batch, "bf16", options.repeats) / 1e9,
            "encode bf16": encoding(options.device, batch, "bf16", options.repeats) / 1e9,
            "read": reading(Path(folder)),
            "start": start(),
        }
    source = f"benchmarks/rates.py, batch {batch}, {options.threads} threads, torch {torch.__version__}, {date.today()}"
    writer = csv.DictWriter(sys.stdout, FIELDS, lineterminator="\n")
    for work, rate in found.items():
        gpu = "yes" if options.device == "cuda" else "no"
        writer.writerow({"machine": options.name, "gpu": gpu, "work": work, "rate": f"{rate:.4g}", "unit": UNITS[work], "source": source})


if __name__ == "__main__":
    main()
