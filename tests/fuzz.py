"""Damaged raw files of every format against the code that reads them, which may answer with clips or with InputError,
and with nothing else.

    make fuzz [FILES=50000] [SEED=0]        or, for some formats: python tests/fuzz.py --files 1000 pku nw_ucla

Anything else that is raised, a warning, a second of work for a file of kilobytes or half a gigabyte of memory ends the
run; the input is kept in --out. File number N of a format depends on the seed, the format and N alone.
"""

from __future__ import annotations

import argparse
import gzip
import io
import json
import pickle
import random
import re
import resource
import struct
import sys
import tempfile
import time
import traceback
import warnings
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path

import numpy as np
import yaml

from stars.config import Denoise, Simulate
from stars.data.dataset import FOLDER, Dataset
from stars.data.denoise import denoise
from stars.data.preprocessed.find import preprocessed
from stars.data.readers import Layout, Sightings, reader
from stars.data.simulate import files, plan
from stars.data.simulate.layouts.utd_mhad import HEAD
from stars.data.simulate.stage import SimulateStage
from stars.data.sources import Source
from stars.data.splits import training_list
from stars.errors import InputError

SLOW, LARGE = 2.0, 500  # seconds of work and MB of memory that no file here is worth
SEVERAL = 1_000  # files between two lines of progress: a tenth of all, at least these
OWN = {
    "title": "Own", "home": "here", "reader": "folder", "bodies": 2, "root": 1, "joints": ["head", "spine", "left hand"],
    "parents": [1, 1, 1], "actions": {1: "wave", 2: "beckon", 3: "circle arm", 16: "shake hands"},
    "splits": {"xsub": {"title": "XSub", "by": "subject", "train": [1]}},
}  # fmt: skip


@dataclass
class Memory(Source):
    """A source whose files are given as bytes."""

    contents: dict[str, bytes] = field(default_factory=dict)

    @classmethod
    def of(cls, contents: dict[str, bytes]) -> Memory:
        return cls(Path("memory"), dict.fromkeys(sorted(contents)), contents=contents)

    def read(self, name: str) -> bytes:
        return self.contents[name]


@dataclass(frozen=True)
class Format:
    """Whole files, each with its name, and what reads them."""

    good: list[tuple[str, bytes]]
    read: Callable[[str, bytes], object]


@cache
def formats() -> dict[str, Format]:
    """Every kind of raw file that is parsed."""
    made = {name: _simulated(name) for name in ("ntu60", "pku1", "nw_ucla", "utd_mhad", "own")}
    ntu, pku, nw_ucla, utd_mhad, own = ({**contents} for contents in made.values())
    layouts = {name: Layout.of(_described(name)) for name in made}
    videos, labels = (
        {name: data for name, data in pku.items() if name.startswith(kind)} for kind in ("skeletons/", "labels/")
    )
    arrays = {name: data for name, data in own.items() if name.endswith(".npy")}
    layout, members, sides = layouts["own"], _members(), _sides()
    table = {"clips.csv": own["clips.csv"]}
    return {
        "ntu": Format([*ntu.items()], partial(_joints, layouts["ntu60"])),
        "pku": Format([*videos.items()], partial(_joints, layouts["pku1"])),
        "pku_labels": Format([*labels.items()], partial(_clips, layouts["pku1"], pku)),
        "pku_split": Format(
            [("cross_subject.txt", pku["cross_subject.txt"])], lambda name, data: training_list(data, name)
        ),
        "nw_ucla": Format([*nw_ucla.items()], partial(_joints, layouts["nw_ucla"])),
        "utd_mhad": Format(
            [*utd_mhad.items(), *((name, _compressed(data)) for name, data in utd_mhad.items())],
            partial(_joints, layouts["utd_mhad"]),
        ),
        "npy": Format([*arrays.items(), *_other_arrays()], partial(_joints, layouts["own"])),
        "poses_json": Format([*_poses(arrays, "json")], partial(_joints, layouts["own"])),
        "poses_csv": Format([*_poses(arrays, "csv")], partial(_joints, layouts["own"])),
        "clips_csv": Format([*table.items()], partial(_clips, layouts["own"], own)),
        "npz": Format([("a.npz", _zipped(members, kind)) for kind in COMPRESSIONS], partial(_preprocessed, layout, {})),
        "npz_member": Format([*members.items()], partial(_npz_member, layout, members)),
        "pyskl": Format(
            [("a.pkl", _pickled(protocol)) for protocol in (2, 3, 4, 5)], partial(_preprocessed, layout, {})
        ),
        "arrays": Format(
            [(name, data) for name, data in sides.items() if "data" in name], partial(_preprocessed, layout, sides)
        ),
        "labels": Format(
            [(name, data) for name, data in sides.items() if "label" in name], partial(_preprocessed, layout, sides)
        ),
    }


def _described(name: str) -> Dataset:
    return Dataset(**(OWN if name == "own" else yaml.safe_load((FOLDER / f"{name}.yaml").read_text())))


def _simulated(name: str) -> dict[str, bytes]:
    told = SimulateStage.of(
        _described(name), Simulate(actions=16, subjects=2, setups=1, clips=8, frames=(5, 7), ghosts=0.3)
    )
    return dict(files(told, plan(told)))


def _compressed(data: bytes) -> bytes:
    """A MATLAB file as MATLAB writes it."""
    packed = zlib.compress(data[len(HEAD) :])
    return HEAD + struct.pack("<II", 15, len(packed)) + packed


def _other_arrays() -> Iterable[tuple[str, bytes]]:
    """Kinds of numbers, orders and versions that NumPy's own writer does not give by itself."""
    x = np.arange(36).reshape(2, 2, 3, 3)
    for version, array in (((1, 0), x.astype(">i2")), ((2, 0), np.asfortranarray(x, "<f8")), ((3, 0), x.astype("f2"))):
        file = io.BytesIO()
        np.lib.format.write_array(file, array, version, allow_pickle=False)
        yield "a.npy", file.getvalue()


def _poses(arrays: dict[str, bytes], ending: str) -> Iterable[tuple[str, bytes]]:
    """The same clips as JSON, in two of its forms, or as a table."""
    for name, data in arrays.items():
        x = np.load(io.BytesIO(data)).round(3)
        x_tmvc = x if x.ndim == 4 else x[:, None]
        rows = x_tmvc.reshape(*x_tmvc.shape[:2], -1).tolist()
        if ending == "csv":
            head = ",".join(["frame", *(f"{joint}_{axis}" for joint in OWN["joints"] for axis in "xyz")])
            lines = [",".join(map(str, [frame, *row])) for frame, bodies in enumerate(rows) for row in bodies]
            yield f"{name}.csv", "\n".join([head, *lines, ""]).encode()
        else:
            people = [{"people": [{"pose_keypoints_3d": row} for row in bodies]} for bodies in rows]
            yield from ((f"{name}.json", json.dumps(value).encode()) for value in ({"frames": x.tolist()}, people))


COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# clips, frames, bodies and joints as OWN has them
X = np.random.default_rng(0).normal(size=(4, 6, 2, 3, 3)).astype("f4")


def _npy(x: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, x)
    return file.getvalue()


def _members() -> dict[str, bytes]:
    """The arrays of an .npz file as CTR-GCN writes it."""
    x, y = _npy(X.reshape(4, 6, 18)), _npy(np.eye(4))
    return {f"{kind}_{side}.npy": array for side in ("train", "test") for kind, array in (("x", x), ("y", y))}


def _zipped(members: dict[str, bytes], compression: int) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data, compression)
    return file.getvalue()


def _pickled(protocol: int) -> bytes:
    """A .pkl file as pyskl writes it."""
    kind = "f2" if protocol == 2 else "f4"
    annotations = [
        {"frame_dir": f"clip {row}", "label": row, "keypoint": np.moveaxis(x, 1, 0).astype(kind)}
        for row, x in enumerate(X)
    ]
    return pickle.dumps(
        {"split": {"xsub_train": ["clip 0", "clip 1"], "xsub_val": ["clip 2"]}, "annotations": annotations}, protocol
    )


def _sides() -> dict[str, bytes]:
    """A folder as ST-GCN's code writes it, and as its heirs do, whose labels have no names."""
    x, labels = _npy(X.transpose(0, 4, 1, 3, 2)), [0, 1, 2, 3]
    named = pickle.dumps(([f"S001C001P001R001A00{action}.skeleton" for action in (1, 2, 3)] + ["other"], labels), 3)
    return {
        "train_data.npy": x,
        "train_label.pkl": named,
        "val_data.npy": x,
        "val_label.npy": _npy(np.array(labels)[:, None]),
    }


def _preprocessed(layout: Layout, others: dict[str, bytes], name: str, data: bytes) -> None:
    """Every clip of a preprocessed data set, one file of which is damaged."""
    with tempfile.TemporaryDirectory() as folder:
        for file, content in {**others, name: data}.items():
            Path(folder, file).write_bytes(content)
        found = preprocessed(Path(folder), layout, "own")
        assert found is not None
        kind, source = found
        for file, clips in reader(kind).clips(source, layout):
            if isinstance(clips, InputError):
                raise clips
            _joints(layout.model_copy(update={"reader": kind}), file, source.read(file))
        source.close()


def _npz_member(layout: Layout, members: dict[str, bytes], name: str, data: bytes) -> None:
    _preprocessed(layout, {}, "a.npz", _zipped({**members, name: data}, zipfile.ZIP_STORED))


def _joints(layout: Layout, name: str, data: bytes) -> None:
    read = reader(layout.reader).read(data, name, layout)
    x_tmvc = denoise(read, Denoise()) if isinstance(read, Sightings) else read
    assert x_tmvc.dtype == np.float32 and x_tmvc.ndim == 4 and np.isfinite(x_tmvc).all()


def _clips(layout: Layout, others: dict[str, bytes], name: str, data: bytes) -> None:
    found = [found for _, found in reader(layout.reader).clips(Memory.of({**others, name: data}), layout)]
    for one in found:
        if isinstance(one, InputError):
            raise one
    assert all(type(clip.action) is int for clips in found for clip in clips)


NUMBERS = (
    b"1000000000",
    b"99999999999999999999",
    b"-1",
    b"0",
    b"1e999",
    b"NaN",
    b"Infinity",
    b"1_0",
    b"0x10",
    b"",
    b"4" * 400,
)


def _flip(rng: random.Random, data: bytearray) -> None:
    for _ in range(rng.randint(1, 16)):
        if data:
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def _cut(rng: random.Random, data: bytearray) -> None:
    start = rng.randint(0, len(data))
    del data[start : rng.choice((len(data), start + rng.randint(0, 300)))]


def _duplicate(rng: random.Random, data: bytearray) -> None:
    start = rng.randint(0, len(data))
    data[start:start] = data[start : start + rng.choice((rng.randint(1, 400), len(data)))] * rng.randint(1, 3)


def _swap_lines(rng: random.Random, data: bytearray) -> None:
    lines = data.split(b"\n")
    first, second = rng.randrange(len(lines)), rng.randrange(len(lines))
    lines[first], lines[second] = lines[second], lines[first]
    data[:] = b"\n".join(lines)


def _change_number(rng: random.Random, data: bytearray) -> None:
    words = [*re.finditer(rb"-?[0-9][0-9.]*", data[:100_000])]
    if words:
        # the first numbers of a file are mostly counts
        word = words[rng.choice((rng.randrange(len(words)), rng.randrange(min(8, len(words)))))]
        data[word.start() : word.end()] = rng.choice(NUMBERS)


def _change_count(rng: random.Random, data: bytearray) -> None:
    """A binary count, which stands at a multiple of four in the first bytes."""
    if len(data) >= 8:
        at = rng.randrange(min(len(data), 260) // 4) * 4
        data[at : at + 4] = rng.choice((10**9, 2**32 - 1, 2**31, 0, rng.randrange(40))).to_bytes(
            4, rng.choice(("little", "big"))
        )


def _insert(rng: random.Random, data: bytearray) -> None:
    at = rng.randint(0, len(data))
    data[at:at] = rng.choice(
        (rng.randbytes(rng.randint(1, 20)), b"[" * 5_000, b'{"a":' * 2_000, b"\0" * 50, b'"', b",", b"\n" * 30, b"'")
    )


def _utf_16(rng: random.Random, data: bytearray) -> None:
    data[:] = data.decode("latin-1").encode(rng.choice(("utf-16", "utf-16-be", "utf-8-sig")))


def _gzip(_: random.Random, data: bytearray) -> None:
    data[:] = gzip.compress(bytes(data), 1, mtime=0)


def _empty(_: random.Random, data: bytearray) -> None:
    data.clear()


COMMON = (_flip, _cut, _duplicate, _swap_lines, _change_number, _change_count, _insert)
RARE = (_utf_16, _gzip, _empty)


def damaged(name: str, number: int, seed: int) -> tuple[str, bytes]:
    """File `number` of a format: a whole one after one to three changes."""
    rng = random.Random(f"{seed} {name} {number}")
    file, whole = rng.choice(formats()[name].good)
    data = bytearray(whole)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        rng.choice(RARE if rng.random() < 0.05 else COMMON)(rng, data)
    return file, bytes(data)


def peak_mb() -> float:
    """Largest resident size of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def attempt(name: str, file: str, data: bytes) -> str:
    """Read a damaged file: "clips" or "InputError". Raises whatever else happens."""
    before, clock = peak_mb(), time.process_time()
    try:
        formats()[name].read(file, data)
        outcome = "clips"
    except InputError as error:
        assert "\n" not in str(error), f"a message of several lines: {error}"
        outcome = "InputError"
    assert time.process_time() - clock < SLOW, f"took {time.process_time() - clock:.1f} s"
    assert peak_mb() - before < LARGE, f"took {peak_mb() - before:.0f} MB"
    return outcome


def run(name: str, count: int, seed: int, out: Path) -> bool:
    """Try that many files of a format; False, with a report, at the first that gets another answer."""
    outcomes, clock = Counter(), time.perf_counter()
    for number in range(count):
        file, data = damaged(name, number, seed)
        try:
            outcomes[attempt(name, file, data)] += 1
        except Exception:
            out.mkdir(parents=True, exist_ok=True)
            kept = out / f"{name}-{seed}-{number}{Path(file).suffix}"
            kept.write_bytes(data)
            print(
                f"{name}: file {number} of seed {seed}, kept as {kept}, {len(data)} bytes as"
                f" {file}\n{traceback.format_exc()}",
                flush=True,
            )
            return False
        if (number + 1) % max(SEVERAL, count // 10) == 0 or number + 1 == count:
            answers = ", ".join(f"{times} {outcome}" for outcome, times in sorted(outcomes.items()))
            print(
                f"{name}: {number + 1} of {count} files: {answers}; {time.perf_counter() - clock:.0f} s, peak"
                f" {peak_mb():.0f} MB",
                flush=True,
            )
    return True


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("format", nargs="*", help=f"{', '.join(formats())} [all]")
    parser.add_argument("--files", type=int, default=50_000, metavar="N", help="damaged files of each format [50000]")
    parser.add_argument("--seed", type=int, default=0, help="[0]")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("fuzz-failures"),
        metavar="PATH",
        help="where a failing input goes [fuzz-failures]",
    )
    chosen = parser.parse_args()
    if unknown := set(chosen.format) - set(formats()):
        parser.error(f"no format {min(unknown)}")
    print(f"seed {chosen.seed}, {chosen.files} files a format", flush=True)
    warnings.simplefilter("error")
    good = [run(name, chosen.files, chosen.seed, chosen.out) for name in chosen.format or formats()]
    return int(not all(good))


if __name__ == "__main__":
    sys.exit(main())
