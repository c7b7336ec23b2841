"""Options that several commands take."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from stars.errors import InputError
from stars.program import program

CLIPS = "folder of the clip store"
TRAIN, TEST = "training rows of the split (.npy)", "test rows of the split (.npy)"


def add_config(group: Any) -> None:
    """--config and --set."""
    group.add_argument(
        "--config",
        default="config/config.yaml",
        metavar="FILE",
        help="configuration file; A+B merges two files, B overriding A [config/config.yaml]",
    )
    group.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="override one key, e.g. tune.optimiser.lr=1e-3; may be repeated",
    )


def add_folder(group: Any) -> None:
    """Optional results folder; default: ./results, or the current folder if it is an unpacked archive."""
    group.add_argument(
        "results",
        nargs="?",
        type=Path,
        metavar="PATH",
        help="results folder [results; in an unpacked archive, the current folder]",
    )


def named_folder(given: Path | None) -> Path:
    """A results folder as a path that contains its name, unlike "."; InputError if there is none."""
    from stars.provenance.lineage import MANIFEST, RESULTS  # loads NumPy, which `stars --help` does not need

    found = given or Path(RESULTS)
    if given is None and not found.is_dir() and Path(MANIFEST).is_file():
        found = Path()
    if not found.is_dir():
        raise InputError(f"{found} is not a folder: give the path of a results folder")
    return found if found.name not in ("", "..") else found.resolve()


def warn_of_run(results: Path) -> None:
    """Print a line on stderr if a run is writing to this results folder."""
    from stars.jobs.status import in_progress

    project = results.resolve().parent
    if in_progress(project):
        here = "this folder" if project.samefile(Path.cwd()) else project
        print(
            f"stars: a run is in progress in {here}: results may change or be incomplete until it ends"
            f" ({program('stars')} status)",
            file=sys.stderr,
        )


def read_json(option: str, text: str) -> Any:
    """The value of an option that takes JSON; InputError if it is invalid."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"{option}: not valid JSON ({error}): give a line of JSON") from None


def device(name: str, threads: int | None) -> str:
    """Apply --device and --threads: return the device, and reserve a GPU for this process."""
    import torch

    from stars.jobs import devices
    from stars.training import parallel

    if threads:
        torch.set_num_threads(max(1, threads // parallel.on_this_node()))
    if name != "cpu" and parallel.expected() > 1:
        return "cuda"  # `parallel.group` checks the number of GPUs; the launcher has reserved them
    if name != "cpu":
        devices.hold()
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError(
            "--device cuda: PyTorch finds no GPU: use --device auto, or install the CUDA build (envs/torch-cuda.txt)"
        )
    return name if name != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
