"""How far raw coordinates go: nearest neighbour on joint positions, without any learning.

    python benchmarks/raw_neighbours.py results/demo/clips results/demo/splits/xsub

reads a clip store and the split files {split}_train.npy, {split}_test.npy, and prints the share of test clips, in percent, whose
nearest training clip has the same action. A clip is resized to 32 frames, each body's root joint is subtracted in each frame
(an absent body stays zero), and clips are compared by the cosine of all coordinates, which takes size out.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from stars.data.store import ClipStore
from stars.errors import InputError
from stars.provenance.files import read_npy


def description(clip: np.ndarray, root: int, frames: int = 32) -> np.ndarray:
    """(T, M, V, 3) to a unit vector of frames · M · V · 3 root-centred coordinates, resized linearly in time."""
    at = np.linspace(0, len(clip) - 1, frames)
    before = at.astype(int)
    after = np.minimum(before + 1, len(clip) - 1)
    share = (at - before)[:, None, None, None]
    present = clip.any((2, 3), keepdims=True)
    centred = (clip - clip[:, :, root : root + 1]) * present
    vector = (centred[before] * (1 - share) + centred[after] * share).ravel()
    return vector / max(float(np.linalg.norm(vector)), 1e-12)


def accuracy(store: ClipStore, train: np.ndarray, test: np.ndarray, root: int) -> float:
    """Percent of test clips whose nearest training clip has their label."""
    vectors = np.stack([description(store[row], root) for row in range(len(store))])
    nearest = (vectors[test] @ vectors[train].T).argmax(1)
    return 100 * float((store.labels[train][nearest] == store.labels[test]).mean())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", type=Path, help="clip store")
    parser.add_argument("split", help="path of the split files without _train.npy")
    parser.add_argument("--root", type=int, default=1, help="joint that is subtracted (default 1, NTU's spine middle)")
    asked = parser.parse_args()
    try:
        store = ClipStore.open(asked.clips)
        train, test = (read_npy(f"{asked.split}_{part}.npy") for part in ("train", "test"))
        print(f"{accuracy(store, train, test, asked.root):.1f}")
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
