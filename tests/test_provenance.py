"""Records, digests, locks, and files that are whole or not there."""

import errno
import fcntl
import hashlib
import json
import os
import random
import re
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny import ROOT

from stars.backbones.transformer import Network
from stars.config import Model
from stars.errors import InputError
from stars.figure_style import figure, save
from stars.provenance import code, energy, files, stale
from stars.provenance.files import (
    atomic,
    digest,
    exclusive,
    read_npy,
    read_npz,
    write_json,
    write_npy,
    write_npz,
    write_text,
)
from stars.provenance.record import LIBRARIES, git_state, recording
from stars.training.checkpoint import Checkpoint, Work
from stars.training.files import undertaken
from stars.training.weights import save_encoder


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def commit() -> str | None:
    done = subprocess.run(["git", "-C", str(ROOT), "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None


def test_every_record_is_complete_and_true(finished):
    records = sorted(finished.glob("results/**/*record.json"))
    assert len(records) == 39
    seen = set()
    for path in records:
        record = json.loads(path.read_text())
        seen |= {str((path.parent / name).relative_to(finished)) for name in record["outputs"]}
        for entry in record["inputs"].values():
            assert entry["sha256"] == sha256(finished / entry["path"]), (path, entry["path"])
        for name, entry in record["outputs"].items():
            assert entry == {"sha256": sha256(path.parent / name), "bytes": (path.parent / name).stat().st_size}
        assert record["inputs"] or record["stage"] == "stars.data.simulate"
        canonical = json.dumps(record["settings"], sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        assert record["settings_digest"] == hashlib.sha256(canonical.encode()).hexdigest()
        assert record["code"]["digest"] == code.digest_of(record["stage"]) and record["code"]["commit"] == commit()
        assert record["seed"] == record["settings"].get("seed")
        assert {"python", *LIBRARIES} == set(record["versions"])
        assert torch.__version__.startswith(record["versions"]["torch"])  # without the build, such as +cu130
        assert {"host", "cpu", "cores"} <= set(record["hardware"]) and record["command"][0].endswith("stars")
        assert datetime.fromisoformat(record["started"]).tzinfo is not None
        assert 0 < record["wall_seconds"] < 300 and record["cpu_seconds"] > 0 and 10 < record["peak_memory_mb"] < 10_000
        assert record["energy_joules"] is None  # no GPU
        assert set(record["code"]["modules"]) == set().union(*map(code.reachable, record["stage"].split("+")))
    made = {str(path.relative_to(finished)) for path in finished.glob("results/**/*") if path.is_file()}
    assert {name for name in made if not re.search(r"record\.json$|results/(logs|benchmarks|ledger)/", name)} == seen


@given(
    st.dictionaries(st.text(), st.integers() | st.text() | st.lists(st.floats(allow_nan=False, allow_infinity=False)))
)
def test_digest_is_of_the_data_not_of_the_order_of_keys(value):
    assert digest(value) == digest(dict(reversed(value.items())))
    assert digest(value) != digest({**value, "another": 1, "one more": 2})


def test_a_stage_s_code_is_what_it_imports_and_no_more():
    reached = code.reachable("stars.evaluation.knn")
    assert {"stars.evaluation.knn", "stars.data.store", "stars.evaluation.metrics"} <= reached
    assert not {"stars.evaluation.linear", "stars.training.tune", "stars.paper.tables", "stars.config"} & reached
    reached = code.reachable(code.of_tuning("moco", "transformer").split("+")[1])
    losses = {module.removeprefix("stars.objectives.") for module in reached if module.startswith("stars.objectives.")}
    assert {"moco", "queue", "teacher"} <= losses and not {"nnclr", "dino", "mamp"} & losses
    assert not {"stars.objectives.nnclr", "stars.objectives.dino"} & code.reachable("stars.training.pretrain")


def test_a_training_of_other_code_is_named(finished, tmp_path):
    assert list(stale.warnings(finished / "results")) == []
    for name, change in (("old", {"code": {"digest": "0"}}), ("damaged", None)):
        folder = tmp_path / "demo_xsub" / name
        folder.mkdir(parents=True)
        record = json.loads((finished / "results/demo_xsub/stars/record.json").read_text())
        (folder / "record.json").write_text(json.dumps(record | change) if change else "{")
    assert [line.split(":")[0] for line in stale.warnings(tmp_path)] == [str(tmp_path / "demo_xsub/old")]


class Driver:
    """NVML with two GPUs, of which the second does not count its energy."""

    def __init__(self, millijoules: int):
        self.millijoules = millijoules

    def nvmlInit_v2(self) -> int:
        return 0

    nvmlShutdown = nvmlInit_v2

    def nvmlDeviceGetCount_v2(self, count) -> int:
        count._obj.value = 2
        return 0

    def nvmlDeviceGetHandleByIndex_v2(self, index, device) -> int:
        device._obj.value = index + 1
        return 0

    def nvmlDeviceGetUUID(self, device, uuid, size) -> int:
        uuid.value = f"GPU-{device.value}".encode()
        return 0

    def nvmlDeviceGetTotalEnergyConsumption(self, device, millijoules) -> int:
        millijoules._obj.value = self.millijoules
        return 0 if device.value == 1 else 3  # not supported


def test_energy_is_that_of_the_gpu_in_use_where_it_counts(monkeypatch):
    assert energy.used_since({"GPU-1": 0.0}) is None  # nothing runs on a GPU here
    monkeypatch.setattr(energy.ctypes, "CDLL", lambda name: Driver(5_000))
    before = energy.counters()
    assert before == {"GPU-1": 5.0}
    monkeypatch.setattr(energy.ctypes, "CDLL", lambda name: Driver(12_500))
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    for number, joules in ((1, 7.5), (2, None)):
        monkeypatch.setattr(torch.cuda, "current_device", lambda number=number: number)
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: SimpleNamespace(uuid=number))
        assert energy.used_since(before) == joules


def test_a_stage_that_fails_leaves_no_record(tmp_path):
    with pytest.raises(RuntimeError), recording(tmp_path, "stars.data.splits", {}, {}, []):
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_a_training_takes_the_digest_of_an_input_once(tmp_path, monkeypatch):
    """A clip store has gigabytes; its digest names the folder of checkpoints and stands in the record."""
    clips, read = tmp_path / "frames.npy", []
    clips.write_bytes(b"joints")
    monkeypatch.setattr(files, "sha256", lambda path: read.append(path) or sha256(path))
    with undertaken(
        tmp_path, "stars.training.tune", Model(), {"clips": clips}, (), Checkpoint(folder=str(tmp_path / "work"))
    ):
        pass
    assert read == [clips]
    record = json.loads((tmp_path / "record.json").read_text())
    assert record["inputs"] == {"clips": {"path": str(clips), "sha256": sha256(clips)}}


def test_a_failed_write_keeps_the_earlier_file(tmp_path):
    path = tmp_path / "file.txt"
    write_text(path, "earlier")
    with pytest.raises(RuntimeError), atomic(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "earlier" and list(tmp_path.iterdir()) == [path]


def save_figure(path: Path) -> None:
    with figure(1.0) as drawn:
        save(drawn, path.with_suffix(""))


WRITERS = {
    "text.csv": lambda path: write_text(path, "text"),
    "value.json": lambda path: write_json(path, {"a": 1}),
    "array.npy": lambda path: write_npy(path, np.zeros(100_000)),
    "arrays.npz": lambda path: write_npz(path, {"a": np.arange(100_000)}),
    "encoder.safetensors": lambda path: save_encoder(path, Network(Model(width=8, depth=1, heads=1), joints=3)),
    "figure.svg": save_figure,
    "last.ckpt": lambda path: Work(path.parent, 60).save({"model": {}}),
}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize("name", WRITERS)
def test_a_full_disk_is_one_line_and_keeps_the_earlier_file(tmp_path, name):
    path = tmp_path / name
    WRITERS[name](path)
    earlier = path.read_bytes()
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp{path.suffix}")
    temporary.symlink_to("/dev/full")  # every write to it finds no space left
    with pytest.raises(InputError) as caught:
        WRITERS[name](path)
    assert (
        str(caught.value)
        == f"no space left while writing {path}: free some and run again; the earlier file, if any, is intact"
    )
    kept = path if path.exists() else path.with_name("previous.ckpt")
    assert kept.read_bytes() == earlier and not temporary.is_symlink()


@pytest.mark.parametrize(
    "array", [np.arange(6).reshape(2, 3), np.zeros((0, 4), np.float32), np.asfortranarray(np.eye(3)), np.array(["é"])]
)
def test_arrays_come_back_and_are_written_as_numpy_does(tmp_path, array):
    write_npy(tmp_path / "ours.npy", array)
    np.save(tmp_path / "numpys.npy", np.ascontiguousarray(array))
    assert (tmp_path / "ours.npy").read_bytes() == (tmp_path / "numpys.npy").read_bytes()
    assert np.array_equal(read_npy(tmp_path / "ours.npy"), array)


def test_a_damaged_array_is_one_line_wherever_the_damage_is(tmp_path):
    draw = random.Random(0)
    write_npy(tmp_path / "a.npy", np.zeros((4, 3), np.float32))
    write_npz(tmp_path / "a.npz", {"name": np.array(["S001", "S002"] * 30), "label": np.arange(60)})
    readers = [
        ("a.npy", read_npy),
        ("a.npy", lambda path: read_npy(path, True)),
        ("a.npz", lambda path: read_npz(path, ("name", "label"))),
    ]
    for name, read in readers:
        path = tmp_path / name
        data, refused = path.read_bytes(), 0
        for _ in range(800):
            at = draw.randrange(len(data))
            path.write_bytes(data[:at] + bytes([data[at] ^ draw.randrange(1, 256)]) + data[at + 1 :])
            try:
                read(path)
            except InputError as error:
                assert str(path) in str(error)
                refused += 1
        assert refused > 200
        path.write_bytes(data)


def test_two_runs_do_not_write_the_same_outputs_at_once(tmp_path):
    with exclusive(tmp_path / "a"), exclusive(tmp_path / "b"):
        second = exclusive(tmp_path / "a")
        with pytest.raises(InputError, match="another run is writing"):
            second.__enter__()
    assert list(tmp_path.iterdir()) == []
    with exclusive(tmp_path / "a"):
        pass


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK])
def test_a_filesystem_without_locks_is_written_to_all_the_same_and_that_is_said(tmp_path, monkeypatch, capsys, number):
    def flock(descriptor: int, how: int) -> None:
        raise OSError(number, "no locks")

    monkeypatch.setattr(fcntl, "flock", flock)
    with exclusive(tmp_path / "a"):
        write_text(tmp_path / "a", "whole")
    assert [path.name for path in tmp_path.iterdir()] == ["a"] and "has no locks" in capsys.readouterr().err


def test_a_lock_that_fails_otherwise_leaves_no_file_open(tmp_path, monkeypatch):
    def flock(descriptor: int, how: int) -> None:
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(fcntl, "flock", flock)
    before = list(Path("/proc/self/fd").iterdir())
    with pytest.raises(OSError, match="broken"), exclusive(tmp_path / "a"):
        pass
    assert len(list(Path("/proc/self/fd").iterdir())) == len(before)


def git(folder: Path, *words: str) -> None:
    subprocess.run(
        ["git", "-c", "user.name=n", "-c", "user.email=e", *words], cwd=folder, check=True, capture_output=True
    )


def test_the_commit_is_that_of_the_package_and_a_module_that_git_does_not_know_is_a_change(tmp_path, monkeypatch):
    package = tmp_path / "project/stars"
    package.mkdir(parents=True)
    for name in ("__init__.py", "knn.py", "__pycache__"):
        (package / name).touch()
    git(package.parent, "init")
    (package.parent / "notes.txt").touch()
    git(package.parent, "add", "notes.txt")
    git(package.parent, "commit", "-m", "of somebody else")
    monkeypatch.setattr(code, "PACKAGE", package)
    assert git_state() == {"commit": None, "dirty": None}  # it only lies in that project's folder
    git(package.parent, "add", ".")
    git(package.parent, "commit", "-m", "one")
    clean = git_state()
    assert re.fullmatch(r"[0-9a-f]{40}", clean["commit"]) and clean["dirty"] is False
    (package.parent / "notes.txt").write_text("no source")
    assert git_state() == clean
    (package / "mine.py").touch()
    assert git_state() == {**clean, "dirty": True}
    (package / "mine.py").unlink()
    (package / "knn.py").write_text("1")
    assert git_state() == {**clean, "dirty": True}


def test_the_lock_of_a_killed_run_holds_nobody_up(tmp_path):
    kill = (
        "import os, sys; from stars.provenance.files import exclusive\nwith exclusive(sys.argv[1]):"
        " os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", kill, str(tmp_path / "a")], check=False).returncode == -9
    assert [path.name for path in tmp_path.iterdir()] == [".a.lock"]
    with exclusive(tmp_path / "a"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_weights_are_refused_only_where_no_record_beside_them_fits(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    weights = Path("encoder.safetensors")
    for text, name in (("imported", "encoder.safetensors.record.json"), ("trained", "record.json")):
        with recording(".", "stars.data.splits", {}, {}, [weights.name], name):
            weights.write_text(text)
    for text in ("trained", "imported"):
        weights.write_text(text)
        with recording("out", "stars.data.splits", {}, {"encoder": weights}, []):
            pass
    weights.write_text("damaged")
    with (
        pytest.raises(InputError, match=r"encoder\.safetensors: its bytes differ from its record"),
        recording("out", "stars.data.splits", {}, {"encoder": weights}, []),
    ):
        pass
