"""A training that a scheduler tells of its end goes back into the queue; one that a user ends does not."""

import os
import signal

import pytest
from tiny import CONFIG, ROOT

from stars import cli
from stars.errors import Interrupted
from stars.training.stopping import stop_signals

PRETRAIN = ("pretrain", "--config", str(ROOT / "tests" / CONFIG), "--recipe", "mamp", "--device", "cpu")
FILES = ("--clips", "clips", "--train", "train.npy", "--out", "out")


@pytest.fixture
def end(tmp_path, monkeypatch):
    """Run `stars pretrain` in job 7 of a stand-in for Slurm, told by a signal `before` it trains or while it does;
    what Slurm was asked.
    """
    (tmp_path / "scontrol").write_text(f'#!/bin/sh\necho "$*" >> {tmp_path}/asked\n')
    (tmp_path / "scontrol").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_JOB_ID", "7")

    def run(number: int, before: bool = False) -> str:
        def training(*files: object, **options: object) -> None:
            if before:
                os.kill(os.getpid(), number)
            with stop_signals() as told:
                if not before:
                    os.kill(os.getpid(), number)
                if told():
                    raise Interrupted("pretrain: stopped and saved")

        monkeypatch.setattr("stars.training.pretrain.pretrain", training)
        assert cli.main([*PRETRAIN, *FILES]) == 75
        asked = tmp_path / "asked"
        return asked.read_text() if asked.exists() else ""

    return run


@pytest.mark.parametrize("before", [True, False])
def test_a_notice_queues_the_job_again_whenever_it_comes(end, before):
    assert end(signal.SIGUSR1, before) == "requeue 7\n"


def test_a_cancelled_job_does_not_come_back(end):
    assert end(signal.SIGTERM) == ""


def test_of_several_processes_the_first_alone_asks(end, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    assert end(signal.SIGUSR1) == ""


def test_without_slurm_nothing_is_asked(end, monkeypatch):
    monkeypatch.delenv("SLURM_JOB_ID")
    assert end(signal.SIGUSR1) == ""
