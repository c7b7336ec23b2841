"""`stars simulate`: simulated raw recordings in the layout of a data set, with typical errors of its sensor.

A performance is acted once and filmed by all cameras. Each clip has its own generator, seeded by (seed, identity), so
its joints do not depend on which other clips are written.
"""

from __future__ import annotations

import os
import shutil
import zipfile
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np

from stars.data.simulate.actions import ACTIONS, chosen
from stars.data.simulate.layouts import Layout, Recording, folder, ntu, nw_ucla, pku, utd_mhad
from stars.data.simulate.performance import Performance, perform
from stars.data.simulate.sensor import film
from stars.data.simulate.stage import SimulateStage
from stars.errors import InputError
from stars.provenance.files import atomic
from stars.provenance.record import recording

LAYOUTS: dict[str, Layout] = {"ntu": ntu, "pku": pku, "nw_ucla": nw_ucla, "utd_mhad": utd_mhad, "folder": folder}


def simulate(out: Path, settings: SimulateStage) -> None:
    """Write the raw files to a zip if `out` ends in .zip, else to a folder, with `{out}.record.json` beside it.

    InputError if the folder `out` is not empty, or if none of the description's actions can be simulated.
    """
    out = Path(out)
    filmed = plan(settings)
    outputs: list[str] = []  # filled while writing, read when the record is written
    with recording(
        out.parent, __name__, settings.model_dump(mode="json"), {}, outputs, f"{out.name}.record.json"
    ) as notes:
        if out.suffix == ".zip":
            _write_zip(out, files(settings, filmed))
            outputs.append(out.name)
        else:
            _write_folder(out, files(settings, filmed))
            outputs += sorted(path.relative_to(out.parent).as_posix() for path in out.rglob("*") if path.is_file())
        notes["clips"] = sum(len(cameras) for _, cameras in filmed)


def plan(settings: SimulateStage) -> list[tuple[Performance, range]]:
    """Performances and the cameras that film them, sorted; if `clips` is set, an even sample over actions and subjects.

    Limited to the description's actions and subjects, and to setups and cameras that the layout's names can
    distinguish.
    """
    described = settings.dataset
    if (layout := LAYOUTS.get(described.reader)) is None:
        raise InputError(
            f"the simulator writes raw files, not {described.reader}: set raw, or use a description whose reader is"
            f" {', '.join(LAYOUTS)}"
        )
    subjects = (described.subjects or range(1, settings.subjects + 1))[: settings.subjects]
    actions = chosen(settings.actions, described.actions, described.bodies)
    if not actions:
        raise InputError(
            f"the simulator can act actions 1 to {len(ACTIONS)}, but the data set's description has none of them: set"
            " raw"
        )
    takes = list(product(range(1, min(settings.setups, layout.SETUPS) + 1), range(1, settings.repetitions + 1)))
    pairs = list(product(actions, subjects))
    rng = np.random.default_rng((settings.seed, 4))
    rounds = np.stack([rng.permutation(len(takes)) for _ in pairs], 1)
    order = rng.permutation(len(pairs))
    everything = [(takes[choice[pair]], pairs[pair]) for choice in rounds for pair in order]
    most = min(settings.cameras, layout.CAMERAS)
    wanted = min(settings.clips or len(everything) * most, len(everything) * most)
    found = []
    for index, ((setup, replication), (action, subject)) in enumerate(everything[: -(-wanted // most)]):
        cameras = min(most, wanted - index * most)
        found.append((Performance(setup, subject, replication, action), range(1, cameras + 1)))
    return sorted(found, key=lambda clip: clip[0])


def files(settings: SimulateStage, filmed: list[tuple[Performance, range]]) -> Iterator[tuple[str, bytes]]:
    """File name and content of every raw file."""
    return LAYOUTS[settings.dataset.reader].files(recordings(settings, filmed), settings)


def recordings(settings: SimulateStage, filmed: list[tuple[Performance, range]]) -> Iterator[Recording]:
    """Each camera's recording of each performance."""
    for performance, cameras in filmed:
        people = perform(settings.seed, performance, settings)
        for camera in cameras:
            yield Recording(
                performance, camera, film(people, settings.seed, performance, camera, settings), len(people)
            )


def _write_zip(out: Path, files: Iterator[tuple[str, bytes]]) -> None:
    """Write one archive; a fixed date in every entry gives equal bytes for equal settings."""
    with atomic(out) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, text in files:
            entry = zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, text, compresslevel=1)


def _write_folder(out: Path, files: Iterator[tuple[str, bytes]]) -> None:
    """Write a folder, which appears once it is complete."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} is not empty: name another folder, or remove it")
    temporary = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    temporary.mkdir(parents=True)
    try:
        for name, text in files:
            (temporary / name).parent.mkdir(exist_ok=True)
            (temporary / name).write_bytes(text)
        temporary.replace(out)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
