"""`stars status`: how far a run is. `stars track`: its training curves for TensorBoard."""

from __future__ import annotations

import argparse
from typing import Any

from stars.cli.common import add_folder, named_folder


def add(commands: Any) -> None:
    """status and track."""
    text = "progress of a run: jobs, epoch and loss, failures, hints"
    where = "Run it in the folder where snakemake runs; it only reads files and does not ask the scheduler."
    parser = commands.add_parser("status", help=text, description=f"Show the {text}. {where}")
    parser.set_defaults(handler=_status)
    text = "training curves of a results folder as TensorBoard event files, of trainings under way too"
    parser = commands.add_parser("track", help=text, description=f"Write {text}. They lie in logs/tensorboard of that folder.")
    add_folder(parser)
    parser.add_argument("--follow", action="store_true", help="go on until Ctrl-C, with a look every 10 seconds")
    parser.set_defaults(handler=_track)


def _status(chosen: argparse.Namespace) -> None:
    from stars.jobs.status import status

    print(status(), end="")


def _track(chosen: argparse.Namespace) -> None:
    from threading import Event

    from stars.jobs.tracking import Tracker, follow

    tracker = Tracker(named_folder(chosen.results))
    count = tracker.look()
    print(f"{count} training{'s' * (count != 1)}: tensorboard --logdir {tracker.folder}", flush=True)
    if chosen.follow:
        follow(tracker, Event())
