"""Stages killed after each file that they write, the record last, and run again: what is left passes for nothing, and
the end is that of an undisturbed run.

    make killed          or, of some stages: python tests/killed.py knn table

A project's workflow is run once. Then each stage's own job, its outputs removed as Snakemake removes them, is killed
after its first, second, … write.
"""

from __future__ import annotations

import multiprocessing
import os
import shlex
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tiny import project, snakemake

from stars.audit.check import audit
from stars.plan.jobs import COMMAND, SUBSTITUTED
from stars.provenance.lineage import Lineage, Record

KILL = "STARS_TEST_KILL_AFTER"
# As sitecustomize.py on a job's path: dies, with its whole process group, after so many files.
HOOK = f"""
import os, signal, sys
if {KILL!r} in os.environ:
    import pathlib
    left = [int(os.environ[{KILL!r}])]
    def dying(write):
        def written(*arguments, **options):
            result = write(*arguments, **options)
            if sys.argv[0].endswith("stars"):
                left[0] -= 1
                if left[0] == 0:
                    os.killpg(0, signal.SIGKILL)
            return result
        return written
    pathlib.Path.replace, os.link = dying(pathlib.Path.replace), dying(os.link)
"""


def commands(folder: Path) -> dict[str, list[str]]:
    """Record, from the project's folder → words of the `stars` command that writes it, for one job of each stage."""
    text = snakemake(folder, "--dry-run", "--forceall", "--printshellcmds").stdout
    words = [shlex.split(line.removeprefix(COMMAND)) for line in text.splitlines() if line.startswith(COMMAND)]
    words = [[word for word in one if word not in SUBSTITUTED] for one in words]
    plain = [one[: next(at for at, word in enumerate(one) if word in (">", "2>&1"))] for one in words]
    return {one[0] + (one[1] if one[0] == "figure" else ""): one for one in plain}


def run(words: list[str], writes: int) -> None:
    """In a process of its own: what `stars` does with these words, killed after so many files."""
    from stars.cli import main

    os.setpgrp()
    sys.argv = ["stars", *words]
    os.environ[KILL] = str(writes)
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 1)
    os.dup2(silent, 2)
    if writes:
        exec(HOOK, {})
    sys.exit(main(words))


def start(words: list[str], writes: int = 0) -> int:
    """Exit code of a command that is killed after so many files; 0: not at all."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["torch", "stars.cli", "stars.training.tune", "stars.paper.tables", "stars.evaluation.knn"]
    )
    process = context.Process(target=run, args=(words, writes))
    process.start()
    process.join()
    return process.exitcode or 0


def made_by(results: Path, words: list[str]) -> Record:
    """The record that a command wrote, by the command that stands in it."""
    return next(record for record in Lineage.read(results).records if record.told["command"][1:] == words)


def check(results: Path, words: list[str]) -> int:
    """Kill a stage at every point; returns how many there are. In the project's folder."""
    record = made_by(results, words)
    assert start(words) == 0  # undisturbed; the report shows records, and those before it were made again
    files = {path: path.read_bytes() for path in record.outputs}
    for writes in range(1, 100):
        for path in (*files, record.path):
            path.unlink(missing_ok=True)
        if start(words, writes) == 0:
            return writes - 1
        named = {line.split(": ")[0] for line in audit(results)}
        left = [path for path in files if path.exists()]
        assert record.path.exists() or {str(path) for path in left} <= named, (
            f"{words[0]}, killed after {writes} files: {left} pass for results"
        )
        assert start(words) == 0
        assert {path: path.read_bytes() for path in files} == files, (
            f"{words[0]}, killed after {writes} files: other bytes in the end"
        )
        # it shows records, which have times
        lines = [line for line in audit(results) if not line.startswith("results/report/")]
        assert not lines, lines
    raise AssertionError("a stage without an end")


def main() -> None:
    with tempfile.TemporaryDirectory() as parent:
        folder = project(Path(parent) / "project")
        done = snakemake(folder)
        assert done.returncode == 0, done.stderr
        os.chdir(folder)
        for stage, words in chosen(commands(folder), sys.argv[1:]):
            print(f"{stage}: killed at {check(Path('results'), words)} points, each time made whole again", flush=True)


def chosen(every: dict[str, list[str]], stages: list[str]) -> Iterator[tuple[str, list[str]]]:
    return ((stage, words) for stage, words in every.items() if not stages or words[0] in stages)


if __name__ == "__main__":
    main()
