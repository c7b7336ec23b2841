"""Is a data set whole: what is absent is named, and the published counts follow from the authors' lists."""

import json
import os
import re
import shutil
from itertools import product
from pathlib import Path

import pytest
import yaml

from stars.config import Ingest
from stars.data.completeness import absent
from stars.data.dataset import FOLDER, Dataset, Split
from stars.data.readers import Clip
from stars.data.readers.ntu import name_of
from stars.data.splits import SplitStage, split
from stars.errors import InputError
from stars.ingest import IngestStage, ingest, join

RAW = Path(__file__).parent / "data/parity/ntu_denoise_raw"
SMALL = min(RAW.iterdir(), key=lambda path: path.stat().st_size)
NTU = {name: Dataset(**yaml.safe_load((FOLDER / f"{name}.yaml").read_text())) for name in ("ntu60", "ntu120")}
FORM = NTU["ntu60"].names
GRID = list(product((1, 2), (1, 2), (1, 2), (1,), (1, 2, 3)))  # setup, camera, subject, replication, action


def written(folder: Path, names: list[str], empty: tuple[str, ...] = ()) -> Path:
    folder.mkdir()
    for name in names:
        if name in empty:
            (folder / f"{name}.skeleton").write_bytes(b"2\n0\n0\n")
        else:
            shutil.copyfile(SMALL, folder / f"{name}.skeleton")
    return folder


def named(setup: int, camera: int, subject: int, replication: int, action: int) -> str:
    return f"S{setup:03}C{camera:03}P{subject:03}R{replication:03}A{action:03}"


def stage(clips: int, listed: int | None = None, **keys: object) -> IngestStage:
    dataset = NTU["ntu60"].model_copy(update={"clips": clips, "listed": listed, "setups": (1, 2, 3)})
    return IngestStage.of("ntu", dataset, Ingest(**keys))


def test_absent_clips_are_those_that_their_fellows_imply():
    clips = [name_of(f"{named(*numbers)}.skeleton") for numbers in GRID]
    assert absent(clips, FORM) == []
    assert absent([*clips[1:5], *clips[7:]], FORM) == sorted(named(*GRID[row]) for row in (0, 5, 6))
    # another setup, other actions
    other = [Clip(f"S003C001P009R001A{action:03}", action, 9, 1, 3) for action in (7, 8)]
    assert absent([*clips, *other], FORM) == []


def test_a_difference_is_explained_name_by_name(tmp_path, capsys):
    names = [named(*numbers) for numbers in GRID]
    raw = written(tmp_path / "raw", names[2:], empty=(names[5],))
    (raw / f"{names[6]}.skeleton").write_bytes(b"garbage")
    ingest(raw, tmp_path / "out", stage(clips=22, listed=2, on_bad_file="skip"))
    told = capsys.readouterr().err
    for part in (
        "20 clips, where the complete data set has 22",
        f"2 are not among the raw files: {names[0]}, {names[1]}",
        f"1 files could not be used: {names[6]}",
        (
            "ingest.missing_list is not set: of the 2 samples that the authors leave out, those without a body were"
            f" found anyway (1: {names[5]})"
        ),
    ):
        assert part in told
    complete = json.loads((tmp_path / "out/quality.json").read_text())["complete"]
    assert (complete["expected"], complete["kept"], complete["absent"]) == (22, 20, names[:2])
    with pytest.raises(InputError, match=r"2 are not among the raw files.*set ingest\.complete to report"):
        ingest(raw, tmp_path / "strict", stage(clips=22, on_bad_file="skip", complete="require"))
    assert not (tmp_path / "strict/frames.npy").exists()
    (tmp_path / "list.txt").write_text("\n".join(["of these:", names[5], names[6]]))
    (raw / f"{names[0]}.skeleton").write_bytes(SMALL.read_bytes())
    (raw / f"{names[1]}.skeleton").write_bytes(SMALL.read_bytes())
    capsys.readouterr()
    ingest(
        raw, tmp_path / "whole", stage(clips=22, listed=2, complete="require", missing_list=str(tmp_path / "list.txt"))
    )
    assert "complete data set" not in capsys.readouterr().err


def test_setups_read_by_jobs_of_their_own_give_the_same_bytes(tmp_path, capsys):
    names = [named(*numbers) for numbers in GRID]
    raw = written(
        tmp_path / "raw",
        [*names[3:], named(3, 1, 1, 1, 1), named(9, 1, 1, 1, 1)],
        empty=(names[5], named(3, 1, 1, 1, 1)),
    )
    (raw / "odd.skeleton").write_bytes(b"")
    settings = stage(clips=24, listed=3, on_bad_file="skip")
    ingest(raw, tmp_path / "one", settings)
    one = capsys.readouterr().err.splitlines()[-1]
    parts = [tmp_path / str(setup) for setup in (1, 2, 3)]
    for setup in (2, 3, 1):
        ingest(raw, parts[setup - 1], settings, workers=2 if setup == 1 else 1, setup=setup)
    join(parts, raw, tmp_path / "joined", settings)
    for file in ("frames.npy", "offsets.npy", "clips.csv", "quality.json"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "joined" / file).read_bytes()
    assert capsys.readouterr().err.splitlines()[-1].replace("joined", "one") == one
    records = [json.loads((tmp_path / folder / "record.json").read_text()) for folder in ("one", "joined")]
    assert (
        records[0]["notes"]["raw"]["sha256_of_names_and_sha256s"]
        == records[1]["notes"]["raw"]["sha256_of_names_and_sha256s"]
    )
    (parts[0] / "clips.csv").write_text("\n".join((parts[0] / "clips.csv").read_text().splitlines()[:-1]) + "\n")
    with pytest.raises(InputError, match="does not fit its table"):
        join(parts, raw, tmp_path / "joined", settings)


def test_a_split_of_all_clips_must_have_the_published_sizes(tmp_path):
    ingest(written(tmp_path / "raw", [named(*numbers) for numbers in GRID]), tmp_path / "clips", stage(clips=24))
    good, wrong = (
        {"title": "XSub", "by": "subject", "train": [1], "counts": counts} for counts in ((12, 12), (13, 11))
    )
    split(tmp_path / "clips", tmp_path, SplitStage(name="xsub", split=Split(**good)))
    with pytest.raises(InputError, match=r"12 training and 12 test clips.*13 and 11, although every clip is present"):
        split(tmp_path / "clips", tmp_path, SplitStage(name="xsub", split=Split(**wrong)))


@pytest.mark.skipif(
    "STARS_NTU_MISSING" not in os.environ, reason="names a folder with the authors' two lists of missing samples"
)
def test_published_counts_follow_from_the_authors_lists():
    """A setup's subject has 120 files a camera, 60 actions twice. What a side of a split lacks to a multiple of that
    is on the list.
    """
    folder = Path(os.environ["STARS_NTU_MISSING"])
    for name, file, files in (("ntu60", "NTU_RGBD_samples", 56_880), ("ntu120", "NTU_RGBD120_samples", 114_480)):
        words = (folder / f"{file}_with_missing_skeletons.txt").read_text().split()
        listed = [
            name_of(f"{word}.skeleton") for word in words if re.fullmatch(r"S\d{3}C\d{3}P\d{3}R\d{3}A\d{3}", word)
        ]
        dataset = NTU[name]
        assert len(set(listed)) == len(listed) == dataset.listed and files - len(listed) == dataset.clips
        for split_of in dataset.splits.values():
            assert sum(split_of.counts) == dataset.clips
            sides = [0, 0]
            for clip in listed:
                value = getattr(clip, split_of.by)
                sides[not (value % 2 == 0 if split_of.train == "even" else value in split_of.train)] += 1
            whole = [count + lacking for count, lacking in zip(split_of.counts, sides, strict=True)]
            files_of_subject = 120 if split_of.by == "camera" else 360
            assert all(side % files_of_subject == 0 for side in whole), (name, split_of.title, whole)
        if name == "ntu60":  # a camera has a third of the files
            assert whole == [37_920, 18_960]
