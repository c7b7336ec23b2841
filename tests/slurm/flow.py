"""The workflow in a folder of its own, run through Slurm or on this machine, and what it made."""

import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from cluster import PATIENCE, Cluster
from tiny import CONFIG, ROOT

OF_A_RUN = ("ledger", "logs", "benchmarks")  # folders of results/ that tell of runs
PAGE = "report/index.html"
# of a record, that the page shows
FACTS = re.compile(rb'"(slurm_job|started|wall_seconds|cpu_seconds|peak_memory_mb)": ?(null|"[^"]*"|[\d.]+)')
LITERAL = (str(Path(sys.executable).with_name("snakemake")),)  # as a user types it
OFTEN = (sys.executable, str(Path(__file__).with_name("often.py")))


@dataclass
class Flow:
    """The workflow in a folder, on the tiny configuration and what `changed` says.

    `cluster`: what runs its jobs, None for this machine; `snakemake`: the command.
    """

    folder: Path
    changed: dict
    cluster: Cluster | None = None
    snakemake: tuple[str, ...] = OFTEN
    started: list[subprocess.Popen] = field(default_factory=list)

    def start(self, *targets: str, options: tuple[str, ...] = ()) -> subprocess.Popen:
        """Snakemake in the background, killed if this process is; what it says is in the file `said`."""
        (self.folder / "changed.yaml").write_text(yaml.safe_dump(self.changed))
        where = ("--profile", "slurm") if self.cluster else ("--cores", "1")
        command = [*self.snakemake, *where, *options, "--configfile", CONFIG, "changed.yaml", "--", *targets]
        base = self.cluster.environment if self.cluster else os.environ
        environment = {**base, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        with self.said.open("ab") as file:
            self.started.append(
                subprocess.Popen(
                    ["setpriv", "--pdeathsig", "KILL", *command],
                    cwd=self.folder,
                    env=environment,
                    stdout=file,
                    stderr=file,
                    start_new_session=True,
                )
            )
        return self.started[-1]

    @property
    def said(self) -> Path:
        return self.folder / "said"

    @property
    def journal(self) -> Path:
        return self.folder / "results/logs/jobs.jsonl"

    def run(self, *targets: str, options: tuple[str, ...] = ()) -> tuple[int, str]:
        """Snakemake to its end: exit code, and what it said."""
        before = self.said.stat().st_size if self.said.exists() else 0
        code = self.start(*targets, options=options).wait(timeout=PATIENCE)
        return code, self.said.read_bytes()[before:].decode()

    def close(self) -> None:
        """End all that it started and that has not ended."""
        for process in self.started:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        if self.cluster:
            self.cluster.cancel_all()

    def status(self) -> str:
        """What `stars status` says, by itself in a process without Slurm."""
        command = [sys.executable, "-m", "stars", "status"]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PATH": ""}
        return subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, check=True
        ).stdout

    def results(self) -> dict[str, bytes]:
        """Every result by its path, records aside: they hold times, as the ledger, logs and benchmarks do. Of the
        page what it shows of records.
        """
        root = self.folder / "results"
        paths = [path for path in root.rglob("*") if path.is_file() and path.relative_to(root).parts[0] not in OF_A_RUN]
        found = {
            path.relative_to(root).as_posix(): path.read_bytes()
            for path in paths
            if not path.name.endswith("record.json")
        }
        return {path: FACTS.sub(b"", content) if path == PAGE else content for path, content in found.items()}

    def leftovers(self) -> list[str]:
        """What a job must not leave behind: work in progress, temporary files, locks."""
        root = self.folder / "results"
        return [str(path.relative_to(root)) for path in root.rglob(".*")]
