"""Snakemake many times over, each time in a fork of one process that has imported it: most of a dry run is imports."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

# Reads a line of JSON a run; answers with its exit code. What it forks from has no thread.
SERVE = """
import json, os, sys
import snakemake.cli
from stars.paper import sources
from stars.pipeline import layout
from stars.pipeline import plugin_results
from stars.pipeline import configuration
from stars.provenance import code, stale

snakemake.cli.get_argument_parser()
for stage in (*stale.KEPT, "stars.evaluation.features", "stars.evaluation.knn", "stars.paper.tables", "stars.report.page", "stars.inspect.page"):
    code.digest_of(stage)
for line in sys.stdin:
    folder, out, arguments = json.loads(line)
    child = os.fork()
    if child == 0:
        written = os.open(out, os.O_WRONLY)
        os.dup2(written, 1)
        os.dup2(written, 2)
        os.chdir(folder)
        snakemake.cli.main(arguments)
        os._exit(70)  # it leaves by itself
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Zygote:
    """A process that has imported Snakemake and the package `stars` that lies in folder `package`."""

    def __init__(self, package: Path) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(package)}
        self._process = subprocess.Popen(
            [sys.executable, "-c", SERVE],
            env=environment,
            cwd=package,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, folder: Path, *arguments: str) -> str:
        """What `snakemake ARGUMENTS` says in a project's folder; AssertionError where it fails."""
        assert self._process.stdin and self._process.stdout
        with tempfile.NamedTemporaryFile("r", suffix=".log") as out:
            print(json.dumps([str(folder), out.name, arguments]), file=self._process.stdin, flush=True)
            code = self._process.stdout.readline().strip()
            said = out.read()
        assert code == "0", (arguments, code, said)
        return said

    def close(self) -> None:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.close()
        self._process.wait(20)
        self._process.stdout.close()
