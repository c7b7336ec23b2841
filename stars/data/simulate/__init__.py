"""`stars simulate`: raw recordings of people who never were, in NTU RGB+D's own layout and with its sensor's own mistakes.

A performance is acted once and filmed by all cameras. Everything random in a clip comes from a generator seeded by (seed,
identity), so that a clip's bytes do not depend on which others are written.
"""

from __future__ import annotations

import os
import shutil
import zipfile
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np

from stars.config import Simulate
from stars.data.simulate.actions import chosen
from stars.data.simulate.layout import skeleton_text
from stars.data.simulate.performance import perform
from stars.data.simulate.sensor import film
from stars.errors import InputError
from stars.provenance.files import atomic
from stars.provenance.record import recording

Performance = tuple[int, int, int, int]  # setup, subject, replication, action


def simulate(out: Path, settings: Simulate) -> None:
    """Write the raw files: one zip where `out` ends in .zip, else a folder of them; `{out}.record.json` beside it.

    InputError where `out` is a folder that already holds something.
    """
    out = Path(out)
    chosen_clips = plan(settings)
    zipped = out.suffix == ".zip"
    files = [name_of(performance, camera) for performance, cameras in chosen_clips for camera in cameras]
    outputs = [out.name] if zipped else [f"{out.name}/{file}" for file in files]
    with recording(out.parent, __name__, settings.model_dump(mode="json"), {}, outputs, f"{out.name}.record.json") as notes:
        (_write_zip if zipped else _write_folder)(out, clips(settings, chosen_clips))
        notes["clips"] = len(files)


def plan(settings: Simulate) -> list[tuple[Performance, range]]:
    """Performances and the cameras that film them, sorted; with `clips` set, an even sample over actions and subjects."""
    takes = list(product(range(1, settings.setups + 1), range(1, settings.repetitions + 1)))
    pairs = list(product(chosen(settings.actions), range(1, settings.subjects + 1)))
    rng = np.random.default_rng((settings.seed, 4))
    rounds = np.stack([rng.permutation(len(takes)) for _ in pairs], 1)
    order = rng.permutation(len(pairs))
    everything = [(takes[choice[pair]], pairs[pair]) for choice in rounds for pair in order]
    wanted = min(settings.clips or len(everything) * settings.cameras, len(everything) * settings.cameras)
    found = []
    for index, ((setup, replication), (action, subject)) in enumerate(everything[: -(-wanted // settings.cameras)]):
        cameras = min(settings.cameras, wanted - index * settings.cameras)
        found.append(((setup, subject, replication, action), range(1, cameras + 1)))
    return sorted(found, key=lambda clip: clip[0])


def clips(settings: Simulate, chosen_clips: list[tuple[Performance, range]]) -> Iterator[tuple[str, bytes]]:
    """File name and content of each clip."""
    for performance, cameras in chosen_clips:
        setup, subject, replication, action = performance
        people = perform(settings.seed, performance, settings.frames, settings.subjects)
        for camera in cameras:
            tracks = film(people, settings.seed, (setup, camera, subject, replication, action), settings)
            yield name_of(performance, camera), skeleton_text(tracks)


def name_of(performance: Performance, camera: int) -> str:
    """NTU's file name, SsssCcccPpppRrrrAaaa.skeleton."""
    setup, subject, replication, action = performance
    return f"S{setup:03d}C{camera:03d}P{subject:03d}R{replication:03d}A{action:03d}.skeleton"


def _write_zip(out: Path, files: Iterator[tuple[str, bytes]]) -> None:
    """One archive; a fixed date in every entry makes equal settings equal bytes."""
    with atomic(out) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, text in files:
            entry = zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, text, compresslevel=1)


def _write_folder(out: Path, files: Iterator[tuple[str, bytes]]) -> None:
    """A folder of files that appears when it is complete."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} already holds something: name another folder, or remove it")
    temporary = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    temporary.mkdir(parents=True)
    try:
        for name, text in files:
            (temporary / name).write_bytes(text)
        temporary.replace(out)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
