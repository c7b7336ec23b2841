"""Raw files of NTU RGB+D 60 and 120 and PKU-MMD II at their true number and length, simulated.

    python benchmarks/true_size.py [--out data] [--processes 2]

    OUT/nturgbd_skeletons_s001_to_s017.zip   56,880 files, as the owners hand them out
    OUT/nturgbd_skeletons_s018_to_s032.zip   57,600 files
    OUT/ntu120/                              both again, as hard links
    OUT/NTU_RGBD*_samples_with_missing_skeletons.txt   as many names as the authors list
    OUT/pku2/                                6,945 clips in about a thousand videos, and the lists of the split

Every split has its published number of clips. Class `n` is a motion that the simulator has, so no accuracy on these
files means anything. Half an hour of one core; 10 GB.
"""

from __future__ import annotations

import argparse
import os
import random
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from multiprocessing import get_context
from pathlib import Path

from tqdm import tqdm

from stars.config import Simulate
from stars.data.dataset import Dataset
from stars.data.simulate.actions import ACTIONS
from stars.data.simulate.layouts import Recording, ntu, pku
from stars.data.simulate.performance import Performance, perform
from stars.data.simulate.sensor import film
from stars.data.simulate.stage import SimulateStage
from stars.pipeline.descriptions import describe
from stars.provenance.files import atomic

SETTINGS = Simulate(subjects=106, frames=(40, 120))  # NTU's clips have about 80 frames
CAMERAS, REPETITIONS = (1, 2, 3), (1, 2)
# Each archive: its setups and subjects, and how many (setup, subject) pairs were recorded on the two sides of
# cross-subject, in even and in odd setups. They follow from the published counts: a pair is 60 classes x 3 cameras x 2
# repetitions. Of even setups only the sum is published.
ARCHIVES = {
    "nturgbd_skeletons_s001_to_s017": (range(1, 18), range(1, 41), range(1, 61), {True: (53, 59), False: (22, 24)}),
    "nturgbd_skeletons_s018_to_s032": (
        range(18, 33),
        range(41, 107),
        range(61, 121),
        {True: (31, 33), False: (46, 50)},
    ),
}
LISTS = {
    "NTU_RGBD_samples_with_missing_skeletons.txt": ("ntu60", ("nturgbd_skeletons_s001_to_s017",)),
    "NTU_RGBD120_samples_with_missing_skeletons.txt": ("ntu120", tuple(ARCHIVES)),
}
CLIPS_A_VIDEO = 7
ALONE, TOGETHER = ([number for number, action in ACTIONS.items() if action.people == people] for people in (1, 2))


def sessions(archive: str) -> list[tuple[int, int]]:
    """The (setup, subject) pairs that an archive records."""
    setups, subjects, _, pairs = ARCHIVES[archive]
    trains = set(describe("ntu120", "data.ntu120").splits["xsub"].train)
    found = []
    for training, counts in pairs.items():
        people = [subject for subject in subjects if (subject in trains) == training]
        for parity, count in enumerate(counts):
            places = [setup for setup in setups if setup % 2 == parity]
            found += [(places[(i // len(people) + i) % len(places)], people[i % len(people)]) for i in range(count)]
    assert len(set(found)) == len(found)
    return sorted(found)


def samples(archive: str) -> list[tuple[Performance, int]]:
    """Every sample of an archive: what was performed, and the camera."""
    actions = ARCHIVES[archive][2]
    every = product(sessions(archive), REPETITIONS, actions, CAMERAS)
    return [
        (Performance(setup, subject, repetition, action), camera)
        for (setup, subject), repetition, action, camera in every
    ]


def listed(data: str, archives: Iterable[str], already: Iterable[str]) -> list[str]:
    """Names for the authors' list: so many that every split is left with its published number of clips."""
    described, names = describe(data, f"data.{data}"), list(already)
    every = [sample for archive in archives for sample in samples(archive)]
    random.Random(0).shuffle(every)
    sides = {_name(sample): _sides(described, sample) for sample in every}
    quota = Counter(side for found in sides.values() for side in found)
    for split, rule in described.splits.items():
        quota.subtract({(split, True): rule.counts[0], (split, False): rule.counts[1]})
    quota.subtract(side for name in names for side in sides[name])
    for name, found in sides.items():
        if name not in names and all(quota[side] > 0 for side in found):
            quota.subtract(found)
            names.append(name)
    if any(quota.values()):
        raise RuntimeError(f"{data}: no list gives the published counts: {quota}")
    return names


def _sides(described: Dataset, sample: tuple[Performance, int]) -> list[tuple[str, bool]]:
    performance, camera = sample
    number = {"subject": performance.subject, "setup": performance.setup, "camera": camera}
    return [
        (split, number[rule.by] % 2 == 0 if rule.train == "even" else number[rule.by] in rule.train)
        for split, rule in described.splits.items()
    ]


def _name(sample: tuple[Performance, int]) -> str:
    return ntu.name_of(*sample).removesuffix(".skeleton")


def record(performance: Performance, camera: int, two: bool) -> Recording:
    """A sample, acted as one of the simulator's motions: the classes beyond them repeat motions in other takes."""
    motions = TOGETHER if two else ALONE
    turn, motion = divmod(performance.action, len(motions))
    acted = performance._replace(action=motions[motion], replication=performance.replication + len(REPETITIONS) * turn)
    people = perform(SETTINGS.seed, acted, SETTINGS)
    return Recording(performance, camera, film(people, SETTINGS.seed, acted, camera, SETTINGS), len(people))


def archive(out: Path, name: str) -> None:
    """One of NTU's two archives."""
    described = describe("ntu120", "data.ntu120")
    order = SimulateStage.of(described, SETTINGS).order
    with (
        atomic(out / f"{name}.zip") as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as written,
    ):
        for sample in tqdm(samples(name), desc=name, unit="file", mininterval=10):
            recording = record(*sample, two=sample[0].action in described.two_person)
            written.writestr(f"nturgb+d_skeletons/{ntu.name_of(*sample)}", ntu.skeleton_text(recording.tracks, order))


def videos(out: Path) -> None:
    """PKU-MMD II: the published number of clips on both sides, cut out of videos of seven each."""
    described = describe("pku2", "data.pku2")
    counts = described.splits["xsub"].counts
    stage = SimulateStage.of(described, SETTINGS)
    with (
        atomic(out / "pku2" / "pku2.zip") as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as written,
    ):
        for name, text in pku.files(_shots(described, counts), stage):
            written.writestr(name, text)


def _shots(described: Dataset, counts: Iterable[int]) -> Iterator[Recording]:
    for side, count in enumerate(counts):  # the simulated list trains on odd subjects
        for index in range(count):
            take, place = divmod(index, CLIPS_A_VIDEO * len(CAMERAS))
            performance = Performance(
                take // 26 + 1, 2 * (take % 26) + 1 + side, 1, (CLIPS_A_VIDEO * take + place // len(CAMERAS)) % 51 + 1
            )
            yield record(performance, place % len(CAMERAS) + 1, performance.action in described.two_person)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("data"))
    parser.add_argument("--processes", type=int, default=2)
    chosen = parser.parse_args()
    out: Path = chosen.out
    (out / "ntu120").mkdir(parents=True, exist_ok=True)
    (out / "pku2").mkdir(exist_ok=True)
    names: list[str] = []
    for file, (data, archives) in LISTS.items():
        names = listed(data, archives, names)
        with atomic(out / file) as temporary:
            temporary.write_text("\n".join(sorted(names)) + "\n")
    with ProcessPoolExecutor(chosen.processes, get_context("spawn")) as pool:
        jobs = [pool.submit(archive, out, name) for name in ARCHIVES if not (out / f"{name}.zip").exists()]
        if not any((out / "pku2").iterdir()):
            jobs.append(pool.submit(videos, out))
        for job in jobs:
            job.result()
    for name in ARCHIVES:
        link = out / "ntu120" / f"{name}.zip"
        link.unlink(missing_ok=True)
        os.link(out / f"{name}.zip", link)


if __name__ == "__main__":
    main()
