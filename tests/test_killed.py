"""Jobs killed between writing a result and its record: the next run repairs it. `make killed` does this to every
stage.
"""

import os
import subprocess
import sys
from pathlib import Path

import killed
import pytest
from tiny import CONFIG, ROOT, snakemake

from stars.audit.check import audit
from stars.pipeline.configuration import load, merge, read_yaml


@pytest.mark.parametrize(("stage", "points"), [("split", 3), ("knn", 4), ("table", 6)])
def test_a_stage_killed_at_any_point_leaves_nothing_that_passes_for_whole(own, monkeypatch, stage, points):
    monkeypatch.chdir(own)
    assert killed.check(Path("results"), killed.commands(own)[stage]) == points


@pytest.mark.parametrize(
    ("changed", "writes"),
    [
        ("knn: {k: [1, 10]}", 1),
        ("knn: {k: [1, 10]}", 3),
        ("knn: {k: [1, 10]}", 4),
        ("methods: {stars: {title: Ours}}", 4),
    ],
)
def test_snakemake_repairs_what_was_killed_together_with_it(own, tmp_path, monkeypatch, changed, writes):
    """Killed with its whole process group, in the first job that writes so many files: before, between and after its
    ledger's entry and record.
    """
    monkeypatch.chdir(own)
    configs = (CONFIG, str(tmp_path / "changed.yaml"))
    Path(configs[1]).write_text(changed)
    (tmp_path / "sitecustomize.py").write_text(killed.HOOK)
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path, killed.KILL: str(writes)}
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--configfile", *configs]
    assert (
        subprocess.run(command, env=environment, capture_output=True, start_new_session=True, check=False).returncode
        == -9
    )
    snakemake(own, "--unlock", config=configs)
    done = snakemake(own, config=configs)
    assert done.returncode == 0, done.stderr
    assert list(audit(Path("results"), configs=[load(merge(*map(read_yaml, configs)))])) == []
