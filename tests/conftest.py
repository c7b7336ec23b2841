"""One run of the whole workflow, shared by every test that only reads what it made."""

import fcntl
import os
import shutil
import sys
from pathlib import Path

import pytest
import toy
from tiny import project, snakemake

os.environ["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"  # as in an activated .venv


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Path:
    """Project folder in which everything is made. It is one folder for all of pytest-xdist's processes: do not write
    into it.
    """
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "finished"
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            done = snakemake(project(folder))
            assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture
def own(finished, tmp_path) -> Path:
    """A copy of that folder, of this test's own; times of change are kept."""
    return Path(shutil.copytree(finished, tmp_path / "own", symlinks=True))


@pytest.fixture(scope="session")
def made(tmp_path_factory) -> Path:
    """The toy store, for tests that only read it."""
    return toy.make(tmp_path_factory.mktemp("toy"))
