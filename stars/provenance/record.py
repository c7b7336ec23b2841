"""record.json: origin of a result (settings, inputs, source, machine) and its cost."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from stars.provenance import code, energy, ledger
from stars.provenance.files import digest, exclusive, hashes, sha256, write_json
from stars.provenance.lineage import refuse_changed, seal

LIBRARIES = ("torch", "numpy", "scipy", "pandas", "scikit-learn", "matplotlib", "safetensors", "pydantic", "snakemake")


@contextmanager
def recording(
    out: Path | str,
    stage: str,
    settings: Mapping[str, Any],
    inputs: Mapping[str, Path | str],
    outputs: Sequence[str],
    name: str = "record.json",
    hashed: Mapping[str, Mapping[str, str]] | None = None,
) -> Iterator[dict[str, Any]]:
    """Context of a stage: locks its outputs, and writes its record into folder `out` on success.

    Args:
        stage: the stage's module, such as "stars.training.tune", whose source the code digest covers.
        settings: the stage's settings as plain data.
        inputs: role → file that was read.
        outputs: names of the output files, relative to `out`.
        hashed: `hashes(inputs)`, if the caller has computed it: of a large clip store this takes seconds.

    Yields a dict to which the stage may add facts, stored under `notes`.

    InputError if weights among the inputs differ from their record, or if another run writes the same outputs.
    """
    out = Path(out)
    notes: dict[str, Any] = {}
    started, clock = datetime.now(UTC), time.perf_counter()
    found = dict(hashes(inputs) if hashed is None else hashed)
    source = {"digest": code.digest_of(stage), "modules": code.parts_of(stage), **git_state()}
    refuse_changed((Path(entry["path"]), entry["sha256"]) for entry in found.values())
    counted = energy.counters()
    with exclusive(out / name):
        yield notes
        record = {
            "stage": stage,
            "settings": dict(settings),
            "settings_digest": digest(dict(settings)),
            "inputs": found,
            "outputs": {file: {"sha256": sha256(out / file), "bytes": (out / file).stat().st_size} for file in outputs},
            "code": source,
            "seed": settings.get("seed"),
            "command": sys.argv,
            "versions": versions(),
            "hardware": hardware(),
            "slurm_job": os.environ.get("SLURM_JOB_ID"),
            "started": started.isoformat(timespec="seconds"),
            "wall_seconds": round(time.perf_counter() - clock, 3),
            "cpu_seconds": round(cpu_seconds(), 3),
            "peak_memory_mb": round(peak_memory_mb(), 1),
            "energy_joules": energy.used_since(counted),
            "notes": notes,
        }
        record = json.loads(json.dumps(record))  # as it will be read, so that the seal matches
        record["seal"] = seal(record)
        if ledger.METRICS in outputs:
            ledger.add(out, record)  # before the record, so that every result with a record is in the ledger
        write_json(out / name, record)


def versions() -> dict[str, str]:
    """Versions of Python and of the libraries that affect results."""
    found = {"python": platform.python_version()}
    for library in LIBRARIES:
        try:
            found[library] = importlib.metadata.version(library)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def hardware() -> dict[str, Any]:
    """Host, processor and, if torch is loaded, its instruction set and GPU."""
    found: dict[str, Any] = {"host": platform.node(), "cpu": _processor(), "cores": os.cpu_count()}
    torch = sys.modules.get("torch")
    if torch is not None:
        found["threads"] = torch.get_num_threads()
        found["instructions"] = torch.backends.cpu.get_cpu_capability()
        if torch.cuda.is_available():
            found["gpu"] = torch.cuda.get_device_name()
    return found


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def peak_memory_mb() -> float:
    """Peak resident memory of this process, in MB (10^6 bytes), without GPU memory, which the stage adds to the
    record.
    """
    scale = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale / 1e6


def cpu_seconds() -> float:
    """CPU time of this process since it started, and of its child processes that have ended, in seconds."""
    return sum(
        used.ru_utime + used.ru_stime
        for used in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


def git_state() -> dict[str, Any]:
    """Commit of the source, and whether it has changes or untracked modules; nulls outside a git checkout.

    A package inside another project's checkout, for example in its virtual environment, has no commit.
    """

    def ask(*words: str) -> str | None:
        done = subprocess.run(["git", "-C", str(code.PACKAGE), *words], capture_output=True, text=True, check=False)
        return done.stdout.strip() if done.returncode == 0 else None

    try:
        if not ask("ls-files", "--", "__init__.py"):
            return {"commit": None, "dirty": None}
        commit, changes = ask("rev-parse", "HEAD"), ask("status", "--porcelain", "--untracked-files=all", "--", ".")
    except FileNotFoundError:
        return {"commit": None, "dirty": None}
    return {"commit": commit, "dirty": None if changes is None else bool(changes)}
