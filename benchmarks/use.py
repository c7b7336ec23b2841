"""Use of an encoder of the paper's size: encoding many short clips, one prediction from a cold start, `stars --help`.

python benchmarks/use.py [--clips 1000] [--threads 2] [--repeat 5]

Wall seconds and, in brackets, processor seconds of all threads together: on a machine that does other work too, these
over the threads are what the wall would be. Of repeats the least, since other work only adds to them. Weights are
random, clips are noise of one body.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

import stars
from stars.backbones.transformer import Network
from stars.config import Model
from stars.inference.library import keep
from stars.training.weights import save_encoder

FRAMES, JOINTS, LABELLED = 60, 25, 20  # of a clip; clips in the library


def taken(work: Callable[[], object], children: bool = False) -> tuple[float, float]:
    """Wall and processor seconds of some work."""
    who = resource.RUSAGE_CHILDREN if children else resource.RUSAGE_SELF
    before, began = resource.getrusage(who), time.perf_counter()
    work()
    wall, after = time.perf_counter() - began, resource.getrusage(who)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def command(*words: object) -> tuple[float, float]:
    """The same of a `stars` process that must succeed."""
    line = [sys.executable, "-m", "stars", *map(str, words)]
    return taken(lambda: subprocess.run(line, check=True, capture_output=True), children=True)


def line(name: str, times: list[tuple[float, float]]) -> None:
    """Print the least wall and the least processor seconds."""
    walls, processors = zip(*times, strict=True)
    print(f"{name:44} {min(walls):7.2f} s wall ({min(processors):7.2f} s of processor)", flush=True)


def main() -> None:
    """A line a measurement."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=5)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    os.environ["OMP_NUM_THREADS"] = str(chosen.threads)
    noise = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        encoder, library = Path(folder) / "encoder.safetensors", Path(folder) / "library"
        save_encoder(encoder, Network(Model(), JOINTS))
        for number in range(LABELLED):
            (library / f"action {number % 4}").mkdir(parents=True, exist_ok=True)
            np.save(library / f"action {number % 4}/{number}.npy", noise.normal(size=(FRAMES, JOINTS, 3)))
        keep(stars.load(encoder, like="ntu60"), [library], library.with_suffix(".npz"))
        told = (
            "--encoder",
            encoder,
            "--like",
            "ntu60",
            "--library",
            library.with_suffix(".npz"),
            "--threads",
            chosen.threads,
        )
        clip = library / "action 0/0.npy"
        line("stars --help", [command("--help") for _ in range(chosen.repeat)])
        line("stars predict, one clip, cold", [command("predict", clip, *told) for _ in range(chosen.repeat)])
        clips = [noise.normal(size=(FRAMES, JOINTS, 3)) for _ in range(chosen.clips)]
        for precision in ("bf16", "fp32"):
            model = stars.load(encoder, like="ntu60", precision=precision)
            model.embed(clips[:8])
            line(
                f"{chosen.clips} clips encoded, {precision}, {chosen.threads} threads",
                [taken(lambda m=model: m.embed(clips))],
            )


if __name__ == "__main__":
    main()
