"""Time and memory of the exact KNN search at the size of NTU-120 cross-subject: 50,919 queries, 63,026 references, 256-d, k = 10.

    python benchmarks/knn.py [--queries N] [--references N] [--width C] [--k K] [--threads T]

Features are drawn around class centres (fixed seed), with similarities of the size a trained encoder's have.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch

from stars.evaluation.knn import neighbours, vote
from stars.provenance.record import peak_memory_mb


def clustered(clips: int, width: int, classes: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Features (N, C) float32 and labels (N,) of noisy classes."""
    labels = rng.integers(classes, size=clips)
    centres = np.random.default_rng(0).standard_normal((classes, width), dtype=np.float32)
    return centres[labels] + rng.standard_normal((clips, width), dtype=np.float32), labels


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in {"queries": 50_919, "references": 63_026, "width": 256, "k": 10, "classes": 120, "threads": 2}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    rng = np.random.default_rng(1)
    references, labels = clustered(chosen.references, chosen.width, chosen.classes, rng)
    queries, truth = clustered(chosen.queries, chosen.width, chosen.classes, rng)
    before, began, worked = peak_memory_mb(), time.perf_counter(), time.process_time()
    ranking = vote(neighbours(queries, references, labels, chosen.k), chosen.k, chosen.classes)
    seconds, busy = time.perf_counter() - began, time.process_time() - worked
    rate = 2e-9 * chosen.queries * chosen.references * chosen.width / seconds
    print(
        f"{seconds:.1f} s ({busy:.1f} s of processor time), {rate:.0f} GFLOP/s overall, top-1 {100 * (ranking[:, 0] == truth).mean():.2f} %"
    )
    print(f"peak memory {peak_memory_mb():.0f} MB (inputs and libraries alone {before:.0f} MB), {chosen.threads} threads")


if __name__ == "__main__":
    main()
