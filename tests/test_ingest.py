"""Raw files to clip store to splits: the same bytes from any source and any number of processes, and one clear line
for bad input.
"""

import json
import os
import shutil
import stat
import zipfile
from pathlib import Path

import numpy as np
import pytest
import yaml

from stars.config import Ingest
from stars.data.dataset import FOLDER, Dataset, Split
from stars.data.sources import Source
from stars.data.splits import SplitStage, split
from stars.data.store import ClipStore
from stars.errors import InputError
from stars.ingest import IngestStage, ingest
from stars.provenance import stale

RAW = Path(__file__).parent / "data/parity/ntu_denoise_raw"
NTU = Dataset(**yaml.safe_load((FOLDER / "ntu60.yaml").read_text()))
SHORT = [path for path in sorted(RAW.iterdir()) if path.stat().st_size < 250_000]
EMPTY = b"2\r\n0\r\n0\r\n"
STORE = ("frames.npy", "offsets.npy", "clips.csv", "quality.json")


def stage(**keys) -> IngestStage:
    return IngestStage.of("ntu", NTU, Ingest(**keys))


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    folder = tmp_path / "raw"
    folder.mkdir()
    for path in SHORT[:6]:
        shutil.copyfile(path, folder / path.name)
    return folder


def contents(out: Path, files: tuple[str, ...] = STORE) -> dict[str, bytes]:
    return {file: (out / file).read_bytes() for file in files}


def test_store_holds_what_the_reader_made(raw, tmp_path):
    (raw / "S009C001P001R001A001.skeleton").write_bytes(EMPTY)
    (raw / "notes.txt").write_text("not a clip")
    ingest(raw, tmp_path / "out", stage())
    store = ClipStore.open(tmp_path / "out")
    with np.load(RAW.parent / "ntu_denoise.npz") as expected:
        for row, name in enumerate(store.names):
            at = expected["names"].tolist().index(name)
            assert np.array_equal(
                store[row].reshape(store.lengths[row], -1), expected["ntu60"][at][: store.lengths[row]]
            )
    assert store.names == sorted(store.names) and store.frames.shape[1:] == (2, 25, 3)
    assert store.labels.tolist() == [action - 1 for action in store.table["action"]]
    assert store.class_names[0] == "drink water"
    quality = json.loads((tmp_path / "out/quality.json").read_text())
    assert (quality["read"], quality["kept"]) == (7, 6)
    assert quality["dropped"] == [
        {"name": "S009C001P001R001A001", "source": "S009C001P001R001A001.skeleton", "reason": "no body in any frame"}
    ]


def test_same_bytes_from_two_processes_and_from_a_zip(raw, tmp_path, monkeypatch):
    monkeypatch.setattr("stars.ingest.read.CHUNK", 1)
    ingest(raw, tmp_path / "one", stage())
    ingest(raw, tmp_path / "two", stage(), workers=2)
    with zipfile.ZipFile(tmp_path / "raw.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(raw.iterdir(), reverse=True):
            archive.write(path, path.name)
    ingest(tmp_path / "raw.zip", tmp_path / "three", stage())
    assert contents(tmp_path / "one") == contents(tmp_path / "two") == contents(tmp_path / "three")
    nested = tmp_path / "nested"
    nested.mkdir()
    shutil.move(tmp_path / "raw.zip", nested / "part1.zip")  # an archive in a folder: only the source column differs
    ingest(nested, tmp_path / "four", stage())
    assert contents(tmp_path / "four", STORE[:2]) == contents(tmp_path / "one", STORE[:2])
    assert ClipStore.open(tmp_path / "four").table["source"][0].startswith("part1.zip/")


def test_bad_files_are_all_listed_or_all_recorded(raw, tmp_path):
    ingest(raw, tmp_path / "out", stage())
    before = contents(tmp_path / "out")
    for number in range(1, 24):
        (raw / f"S001C001P001R002A{number:03}.skeleton").write_bytes(b"garbage")
    (raw / "S001C001P001R002A099.skeleton").write_bytes(EMPTY)
    (raw / "S001C001P099R002A001.skeleton").write_bytes(EMPTY)
    with pytest.raises(InputError, match="25 files cannot be used") as error:
        ingest(raw, tmp_path / "out", stage())
    assert "action 99 is not among the data set's 60 actions" in str(error.value) and "subject 99" in str(error.value)
    assert "and 5 more" in str(error.value) and len((tmp_path / "out/bad_files.txt").read_text().splitlines()) == 25
    assert contents(tmp_path / "out") == before
    ingest(raw, tmp_path / "out", stage(on_bad_file="skip"))
    assert contents(tmp_path / "out", STORE[:3]) == {file: before[file] for file in STORE[:3]}
    dropped = json.loads((tmp_path / "out/quality.json").read_text())["dropped"]
    assert len(dropped) == 25 and any(
        "line 1: expected the number of frames, found 'garbage'" in entry["reason"] for entry in dropped
    )


def test_missing_list(raw, tmp_path):
    listed = tmp_path / "missing.txt"
    listed.write_text(f"302 samples have missing skeletons.\n\n{SHORT[0].stem}\nS017C003P020R002A060\n")
    ingest(raw, tmp_path / "out", stage(missing_list=str(listed)))
    assert len(ClipStore.open(tmp_path / "out")) == 5
    assert (
        json.loads((tmp_path / "out/quality.json").read_text())["dropped"][0]["reason"]
        == "in the list of missing skeletons"
    )
    for bad, why in ((b"\xff\xfe\x00", "cannot be read as text"), (b"no names", "contains no clip name")):
        listed.write_bytes(bad)
        with pytest.raises(InputError, match=why):
            ingest(raw, tmp_path / "out", stage(missing_list=str(listed)))


def test_no_raw_files(tmp_path):
    (tmp_path / "empty").mkdir()
    for folder in ("empty", "absent"):
        with pytest.raises(InputError, match=r"rose1\.ntu\.edu\.sg.*data\.ntu\.raw"):
            ingest(tmp_path / folder, tmp_path / "out", stage())
    (tmp_path / "empty/S001C001P001R001A001.skeleton").write_bytes(EMPTY)
    with pytest.raises(InputError, match="became a clip; the most frequent reason, 1 times: no body in any frame"):
        ingest(tmp_path / "empty", tmp_path / "out", stage())
    assert not (tmp_path / "out/frames.npy").exists()


def test_two_files_of_one_clip(raw, tmp_path):
    (raw / "again").mkdir()
    shutil.copyfile(SHORT[0], raw / "again" / SHORT[0].name)
    with pytest.raises(InputError, match=f"are both clip {SHORT[0].stem}"):
        ingest(raw, tmp_path / "out", stage())


@pytest.mark.parametrize("kind", ["up", "absolute", "drive", "link", "encrypted", "not a zip"])
def test_unsafe_archives_are_refused(tmp_path, kind):
    member = zipfile.ZipInfo(
        {"up": "a/../../x.skeleton", "absolute": "/x.skeleton", "drive": "C:\\x.skeleton"}.get(kind, "x.skeleton")
    )
    member.external_attr = (stat.S_IFLNK | 0o777) << 16 if kind == "link" else 0
    path = tmp_path / "raw.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(member, EMPTY)
    data = bytearray(path.read_bytes())
    if kind == "encrypted":
        data[6] |= 1
        data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(b"no zip" if kind == "not a zip" else data)
    with pytest.raises(InputError, match=r"raw\.zip"):
        Source.open(path, (".skeleton",))


def test_an_archive_whose_members_share_bytes_is_refused(tmp_path):
    """A zip bomb: two entries of the directory name the same compressed bytes."""
    path = tmp_path / "raw.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.skeleton", os.urandom(5000))
        again = archive.infolist()[0]
        for name in ("b.skeleton", "c.skeleton"):
            entry = zipfile.ZipInfo(name)
            entry.compress_type, entry.CRC, entry.compress_size = again.compress_type, again.CRC, again.compress_size
            entry.file_size, entry.header_offset = again.file_size, again.header_offset
            archive.filelist.append(entry)
    with pytest.raises(InputError, match=r"raw\.zip: its members overlap"):
        Source.open(path, (".skeleton",))


def test_unsafe_members_and_links(tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "raw.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.skeleton", bytes(2**20))
        archive.writestr("torn.skeleton", b"1\n0\n" * 500)
    data = (tmp_path / "raw.zip").read_bytes()
    at = data.index(b"torn.skeleton") + len(b"torn.skeleton") + 3
    (tmp_path / "raw.zip").write_bytes(data[:at] + b"\xff\xff" + data[at + 2 :])
    monkeypatch.setattr("stars.data.sources.LARGEST", 10_000)
    source = Source.open(tmp_path / "raw.zip", (".skeleton",))
    for name, message in (("bomb.skeleton", "at most 10000 bytes"), ("torn.skeleton", "cannot be read")):
        with pytest.raises(InputError, match=f"{name}.*{message}"):
            source.read(name)
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw/x.skeleton").symlink_to("/etc/hostname")
    with pytest.raises(InputError, match="is a link to"):
        Source.open(tmp_path / "raw", (".skeleton",))


def test_splits(raw, tmp_path, capsys):
    ingest(raw, tmp_path / "clips", stage())
    table = ClipStore.open(tmp_path / "clips").table

    def make(**keys) -> None:
        split(tmp_path / "clips", tmp_path / "splits", SplitStage(name="x", split=Split(title="X", **keys)))

    with pytest.raises(InputError, match="has test clips but no training clips"):
        make(by="camera", train=[1])
    with pytest.raises(InputError, match="has no training clips among 6"):
        make(by="subject", train=[2])
    with pytest.raises(ValueError, match="by: video"):
        make(by="video", train=[2])
    path = tmp_path / "clips/clips.csv"
    path.write_text(table.assign(label=0, action=1, action_name="drink water", setup=range(1, 7)).to_csv(index=False))
    make(by="setup", train="even", counts=[30, 30])
    assert np.load(tmp_path / "splits/x_train.npy").tolist() == [1, 3, 5] and np.load(
        tmp_path / "splits/x_test.npy"
    ).tolist() == [0, 2, 4]
    assert "3 training and 3 test clips; the complete data set has 30 and 30" in capsys.readouterr().err


def test_raw_files_may_be_gone_only_where_they_are_those_that_were_read(raw, tmp_path):
    clips, packed = tmp_path / "clips", tmp_path / "raw.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        for path in raw.iterdir():
            archive.write(path, path.name)
    for given in (raw, packed):
        ingest(given, clips, stage())
        assert stale.read_already(clips, str(given)) and stale.read_already(clips, f"{tmp_path}/./{given.name}")
        assert not stale.read_already(clips, "nowhere/else") and not stale.read_already(tmp_path, str(given))


def test_a_damaged_store_is_named(raw, tmp_path):
    ingest(raw, tmp_path / "out", stage())
    np.save(tmp_path / "out/offsets.npy", np.arange(3))
    with pytest.raises(InputError, match="from different runs"):
        ClipStore.open(tmp_path / "out")
    (tmp_path / "out/clips.csv").write_text("name\na\n")
    with pytest.raises(InputError, match=r"clips\.csv"):
        ClipStore.open(tmp_path / "out")


@pytest.mark.skipif("STARS_UTD_MHAD" not in os.environ, reason="names a folder with the 861 files of UTD-MHAD")
def test_utd_mhad_is_complete(tmp_path):
    dataset = Dataset(**yaml.safe_load((FOLDER / "utd_mhad.yaml").read_text()))
    ingest(Path(os.environ["STARS_UTD_MHAD"]), tmp_path / "clips", IngestStage.of("utd_mhad", dataset, Ingest()))
    split(tmp_path / "clips", tmp_path / "splits", SplitStage(name="xsub", split=dataset.splits["xsub"]))
    assert len(ClipStore.open(tmp_path / "clips")) == 861
    assert [len(np.load(tmp_path / f"splits/xsub_{side}.npy")) for side in ("train", "test")] == [431, 430]
