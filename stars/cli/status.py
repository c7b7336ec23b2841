"""`stars status`: how far a run is."""

from __future__ import annotations

import argparse
from typing import Any


def add(commands: Any) -> None:
    """status."""
    text = "progress of a run: jobs, epoch and loss, failures, hints"
    where = "Run it in the folder where snakemake runs; it only reads files and does not ask the scheduler."
    parser = commands.add_parser("status", help=text, description=f"Show the {text}. {where}")
    parser.set_defaults(handler=_status)


def _status(chosen: argparse.Namespace) -> None:
    from stars.jobs.status import status

    print(status(), end="")
