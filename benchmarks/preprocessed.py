"""Time and memory of reading a preprocessed data set into a clip store, and of writing the store in the same layout
again.

    python benchmarks/preprocessed.py [--clips 40091] [--formats npz pyskl npy] [--folder PATH]

40,091 are NTU-60's training clips of XSub: 7.2 GB of .npz, and as much of .npy, which is a sparse file. A hundred
different clips of 30 to 150 frames stand under many names; nine in ten train. Each step is a process of its own;
everything lies in a folder that is removed at the end.
"""

from __future__ import annotations

import argparse
import pickle
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import yaml
from ingest import measured

from stars.config import Ingest
from stars.data.dataset import FOLDER, Dataset, Split
from stars.data.preprocessed.export import EARLIEST, export_clips
from stars.data.splits import SplitStage, split
from stars.ingest import IngestStage, ingest

DISTINCT, FRAMES, JOINTS = 100, 300, 25
CLASSES = 60
DATASET = Dataset(**yaml.safe_load((FOLDER / "ntu60.yaml").read_text(encoding="utf-8")))


def some() -> list[np.ndarray]:
    """Different clips, (T, M, V, 3); in two of three there is one body."""
    rng = np.random.default_rng(0)
    clips = [rng.normal(size=(int(rng.integers(30, 151)), 2, JOINTS, 3)).astype(np.float32) for _ in range(DISTINCT)]
    for number, x_tmvc in enumerate(clips):
        x_tmvc[:, 1] *= number % 3 == 0
    return clips


def sides(clips: int) -> dict[str, range]:
    return {"train": range(clips * 9 // 10), "test": range(clips * 9 // 10, clips)}


def name(number: int) -> str:
    return f"S001C001P{number // 60 % 40 + 1:03}R{number // 2400 + 1:03}A{number % 60 + 1:03}"


def make_npz(folder: Path, clips: int) -> Path:
    made, path = some(), folder / "NTU60_CS.npz"
    with zipfile.ZipFile(path, "w") as archive:
        for side, rows in sides(clips).items():
            for kind, dtype, shape in (
                ("x", "<f4", (len(rows), FRAMES, 2 * JOINTS * 3)),
                ("y", "<f8", (len(rows), CLASSES)),
            ):
                with archive.open(zipfile.ZipInfo(f"{kind}_{side}.npy", EARLIEST), "w", force_zip64=True) as file:
                    np.lib.format.write_array_header_1_0(file, {"descr": dtype, "fortran_order": False, "shape": shape})
                    if kind == "y":
                        file.write(np.eye(CLASSES)[[row % CLASSES for row in rows]].data)
                    for row in rows if kind == "x" else ():
                        x = made[row % DISTINCT]
                        file.write(x.data)
                        file.write(bytes((FRAMES - len(x)) * 2 * JOINTS * 3 * 4))
    return path


def make_pyskl(folder: Path, clips: int) -> Path:
    made, path = some(), folder / "ntu60_3danno.pkl"
    halves = {
        f"xsub_{'val' if side == 'test' else side}": [name(row) for row in rows] for side, rows in sides(clips).items()
    }
    arrays = [np.moveaxis(x[:, : 1 + int(x[:, 1].any())], 1, 0).astype(np.float16) for x in made]
    held = [
        {
            "frame_dir": name(row),
            "label": row % CLASSES,
            "keypoint": arrays[row % DISTINCT].copy(),
            "total_frames": len(made[row % DISTINCT]),
        }
        for row in range(clips)
    ]
    with path.open("wb") as file:
        pickle.dump({"split": halves, "annotations": held}, file, protocol=4)
    return path


def make_npy(folder: Path, clips: int) -> Path:
    made, inside = some(), folder / "xsub"
    inside.mkdir()
    for side, rows in sides(clips).items():
        word = "val" if side == "test" else side
        shape = (len(rows), 3, FRAMES, JOINTS, 2)
        x_nctvm = np.lib.format.open_memmap(inside / f"{word}_data.npy", "w+", "<f4", shape)
        for index, row in enumerate(rows):
            x = made[row % DISTINCT]
            x_nctvm[index, :, : len(x)] = x.transpose(3, 0, 2, 1)
        (inside / f"{word}_label.pkl").write_bytes(
            pickle.dumps(([f"{name(row)}.skeleton" for row in rows], [row % CLASSES for row in rows]))
        )
    return inside


MAKE: dict[str, Callable[[Path, int], Path]] = {"npz": make_npz, "pyskl": make_pyskl, "npy": make_npy}


def make(kind: str, folder: Path, clips: int) -> None:
    MAKE[kind](folder, clips).rename(folder / "raw")


def own_split(clips: Path, splits: Path) -> None:
    split(clips, splits, SplitStage(name="xsub", split=Split(title="XSub", by="subject", train=tuple(range(1, 41, 2)))))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=40_091, help="clips of each file [40091]")
    parser.add_argument("--formats", nargs="+", choices=list(MAKE), default=list(MAKE), help="[all]")
    parser.add_argument(
        "--folder", type=Path, help="where the files lie meanwhile, three times 7.2 GB at most [the system's]"
    )
    parser.add_argument("--workers", type=int, default=1, help="processes that read [1]")
    chosen = parser.parse_args()
    told = IngestStage.of("ntu60", DATASET, Ingest())
    print("format  step      clips  raw MB      s  processor s  peak MB", flush=True)
    for kind in chosen.formats:
        with tempfile.TemporaryDirectory(dir=chosen.folder) as place:
            folder = Path(place)
            make(kind, folder, chosen.clips)
            raw = folder / "raw"
            size = sum(path.stat().st_size for path in (raw.iterdir() if raw.is_dir() else [raw]))
            steps = {
                "ingest": (ingest, raw, folder / "clips", told, chosen.workers),
                "split": (own_split, folder / "clips", folder / "splits"),
                "export": (export_clips, folder / "clips", folder / "splits", folder / "export", kind),
            }
            for step, (work, *arguments) in steps.items():
                seconds, busy, peak = measured(work, *arguments)
                print(
                    f"{kind:7} {step:7} {chosen.clips:7} {size / 1e6:7.0f} {seconds:6.1f} {busy:12.1f} {peak:8.0f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
