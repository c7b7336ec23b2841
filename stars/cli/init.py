"""`stars init`: create a project that uses the installed package, without a clone."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from stars import shipped
from stars.errors import InputError
from stars.program import program

PROJECT, PROFILES = shipped.FOLDER / "project", shipped.FOLDER / "workflow/profiles"
PLACES = {  # file in the project → file to copy
    "Snakefile": PROJECT / "Snakefile",
    "config/config.yaml": PROJECT / "config.yaml",
    "config/datasets/mine.yaml": PROJECT / "mine.yaml",
    **{
        f"workflow/profiles/{name}/config.yaml": PROFILES / name / "config.yaml"
        for name in ("default", "local", "slurm")
    },
}
# as in a clone, so that `--profile slurm` works
LINKS = {"profiles": "workflow/profiles", "slurm": "workflow/profiles/slurm"}
IGNORED = "results/\n/evaluation/\n.snakemake/\n"


def add(commands: Any) -> None:
    """init."""
    init = commands.add_parser(
        "init",
        help="create a project: Snakefile, profiles, configuration",
        description=(
            "Create a folder with a Snakefile that runs the installed workflow, profiles, and a commented"
            " configuration. Then run snakemake there."
        ),
    )
    init.add_argument(
        "folder", type=Path, metavar="FOLDER", help="folder to create; it may exist, but not contain a project"
    )
    init.set_defaults(handler=_init)


def _init(chosen: argparse.Namespace) -> None:
    from stars.provenance.files import write_text

    folder: Path = chosen.folder
    for name in (*PLACES, *LINKS):
        if os.path.lexists(folder / name):
            raise InputError(f"{folder / name} already exists: give another folder")
    for name, source in PLACES.items():
        write_text(folder / name, source.read_text(encoding="utf-8"))
    for name, to in LINKS.items():
        (folder / name).symlink_to(to)
    if not (folder / ".gitignore").exists():
        write_text(folder / ".gitignore", IGNORED)
    print(
        f"{folder}: edit config/config.yaml, then in this folder run: {program('snakemake', folder)} --cores 2 --dry-run"
    )
