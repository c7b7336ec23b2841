"""`stars status`: how far a run is."""

from __future__ import annotations

import argparse
from typing import Any


def add(commands: Any) -> None:
    """status."""
    text = "how far a run is: jobs done, under way and waiting, epoch and loss of training, failures and hints"
    where = "Run it in the folder where snakemake runs; it reads files alone and asks no scheduler."
    parser = commands.add_parser("status", help=text, description=f"Say {text}. {where}")
    parser.set_defaults(handler=_status)


def _status(chosen: argparse.Namespace) -> None:
    from stars.jobs.status import status

    print(status(), end="")
