"""Ctrl-C: a training saves and says how to go on, `stars status` says the same, and a second one ends at once."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tiny import CONFIG, ROOT

from stars import cli
from stars.jobs.status import status

# seconds after which a test takes a process for hung: a busy machine needs minutes for what takes seconds
PATIENCE = 600
LOG = Path("results/logs/pretrain/demo_xsub/mamp.log")
AGAIN = "interrupted: run the same command again to resume"
# A training without an end, that saves when it is told to and at no other time.
ENDLESS = ("pretrain={optimiser: {epochs: 100000}}", "checkpoint={seconds: 1000000}")


def start() -> subprocess.Popen[str]:
    """Snakemake at its training, in a process group of its own as in a terminal."""
    LOG.unlink(missing_ok=True)
    words = ["--cores", "2", "results/demo_xsub/mamp/encoder.safetensors", "--configfile", CONFIG, "--config", *ENDLESS]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    out = subprocess.PIPE
    return subprocess.Popen(
        [sys.executable, "-m", "snakemake", *words],
        env=environment,
        stdout=out,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        preexec_fn=heeding,
    )


def heeding() -> None:
    """As in a terminal: what a shell starts in the background ignores Ctrl-C, and so would all that it starts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def trains() -> int:
    """Wait until a step is told; its number."""
    deadline = time.monotonic() + PATIENCE
    while not (found := re.findall(r"step (\d+)/", LOG.read_text() if LOG.exists() else "")):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return int(found[0])


def interrupt(run: subprocess.Popen[str], times: int = 1) -> str:
    """Ctrl-C, to every process of the terminal's group; what was said."""
    for _ in range(times):
        os.killpg(run.pid, signal.SIGINT)
        time.sleep(0.05)
    return run.communicate(timeout=PATIENCE)[0]


def test_ctrl_c_through_snakemake_saves_and_goes_on(own, monkeypatch, capsys):
    monkeypatch.chdir(own)
    run = start()
    trains()
    said = interrupt(run)
    assert run.returncode == 1 and AGAIN in said and "failed: Stage 1" not in said and "Traceback" not in said, said
    assert (
        said.count(
            "interrupted: no new job starts, and a training saves after this step; a second Ctrl-C ends it at once"
        )
        == 1
    )
    log = LOG.read_text()
    saved = int(
        re.search(
            r"stars: interrupted: run the same command again to resume: pretrain: stopped after step (\d+) of", log
        )[1]
    )
    assert list(Path("results/.work").glob("*/last.ckpt"))
    assert cli.main(["status"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "1 interrupted, 0 failed" in lines[0] and lines[1] == AGAIN and "interrupted: Stage 1" in status()
    run = start()
    assert trains() > saved  # it went on
    began = time.monotonic()
    said = interrupt(run, times=2)
    assert run.returncode == 1 and AGAIN in said and "Traceback" not in said, said
    assert time.monotonic() - began < PATIENCE / 2
    assert not subprocess.run(["pgrep", "--pgroup", str(run.pid)], capture_output=True, check=False).stdout


SLOW = """
import sys, time
from stars.training.stopping import stop_signals
with stop_signals() as told:
    print("ready", flush=True)
    while True:
        time.sleep(.01)
"""


def test_a_second_ctrl_c_ends_a_training_at_once():
    run = subprocess.Popen(
        [sys.executable, "-c", SLOW],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heeding,
    )
    assert run.stdout.readline() == "ready\n"
    run.send_signal(signal.SIGINT)
    assert (
        run.stderr.readline() == "\n"
        and "saves after this step; a second Ctrl-C ends it at once" in run.stderr.readline()
    )
    assert run.poll() is None
    run.send_signal(signal.SIGINT)
    run.communicate(timeout=PATIENCE)
    assert run.returncode == -signal.SIGINT


@pytest.mark.parametrize("before", [True, False])
def test_ctrl_c_is_one_line_whether_or_not_anything_trains(tmp_path, monkeypatch, capsys, before):
    from stars.errors import Interrupted
    from stars.training.stopping import stop_signals

    def training(*files: object, **options: object) -> None:
        if before:
            os.kill(os.getpid(), signal.SIGINT)
        with stop_signals() as told:
            os.kill(os.getpid(), signal.SIGINT)
            if told():
                raise Interrupted("pretrain: stopped and saved")

    monkeypatch.setattr("stars.training.pretrain.pretrain", training)
    before_it = signal.signal(signal.SIGINT, signal.default_int_handler)
    told = ["pretrain", "--config", str(ROOT / "tests" / CONFIG), "--recipe", "mamp", "--device", "cpu"]
    code = cli.main([*told, "--clips", "clips", "--train", "train.npy", "--out", "out"])
    signal.signal(signal.SIGINT, before_it)
    assert code == (130 if before else 75)
    assert f"stars: {AGAIN}" in capsys.readouterr().err.splitlines()[-1]
