"""Jobs beside each other on one machine take GPUs that no other of them has."""

import os
import signal
import subprocess
import sys
import time
from itertools import pairwise

import pytest

from stars.cli import common
from stars.errors import InputError
from stars.jobs import devices

WORKER = """
import sys, time
from stars.jobs.devices import hold
taken = hold(int(sys.argv[1]))
print(time.monotonic(), *taken, flush=True)
time.sleep(float(sys.argv[2]))
print(time.monotonic(), flush=True)
"""


@pytest.fixture
def start(tmp_path):
    """Start a process that takes `count` of three GPUs for some seconds; all are ended with the test."""
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "0,1,GPU-8f", "TMPDIR": str(tmp_path)}
    workers = []

    def run(count: int, seconds: float) -> subprocess.Popen:
        command = [sys.executable, "-c", WORKER, str(count), str(seconds)]
        worker = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        workers.append(worker)
        return worker

    yield run
    for worker in workers:
        worker.kill()
        worker.communicate()


def test_twelve_jobs_at_once_share_three_gpus_and_none_of_them_at_the_same_time(start):
    workers = [start(2 if number % 4 == 3 else 1, 0.3) for number in range(12)]
    uses = []
    for worker in workers:
        began, ended = worker.communicate(timeout=60)[0].splitlines()
        assert worker.returncode == 0
        uses += [(gpu, float(began.split()[0]), float(ended)) for gpu in began.split()[1:]]
    assert len(uses) == 15 and {gpu for gpu, _, _ in uses} == {"0", "1", "GPU-8f"}
    for gpu in ("0", "1", "GPU-8f"):
        times = sorted((began, ended) for name, began, ended in uses if name == gpu)
        assert all(ended <= began for (_, ended), (began, _) in pairwise(times))


def test_a_killed_job_s_gpu_is_free_again_and_a_waiting_job_takes_it(start):
    holders = [start(1, 60) for _ in range(3)]
    taken = {holder.pid: holder.stdout.readline().split()[1] for holder in holders}
    waiting = start(1, 0)
    assert "waiting for 1 of 3 GPUs" in waiting.stderr.readline() and waiting.poll() is None
    holders[1].send_signal(signal.SIGKILL)
    assert waiting.stdout.readline().split()[1] == taken[holders[1].pid]


def test_a_stage_takes_its_gpu_before_it_looks_for_one(monkeypatch, tmp_path):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    seen = []
    monkeypatch.setattr("torch.cuda.is_available", lambda: seen.append(os.environ["CUDA_VISIBLE_DEVICES"]) or True)
    assert common.device("auto", None) == "cuda" and set(seen) == {"2"}
    assert common.device("cpu", None) == "cpu"


def test_more_gpus_than_there_are_is_one_clear_line(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    with pytest.raises(InputError, match=r"4 GPUs requested, 2 available: lower compute\.gpus"):
        devices.hold(4)


def test_without_a_gpu_or_with_one_nothing_is_held(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    for names in ("", "5"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", names)
        began = time.monotonic()
        assert devices.hold() == ([names] if names else []) and time.monotonic() - began < 0.5
    assert not list(tmp_path.iterdir())
