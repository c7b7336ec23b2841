"""`stars status`: progress of a run. `stars track`: its training curves for TensorBoard."""

from __future__ import annotations

import argparse
from typing import Any

from stars.cli.common import add_folder, named_folder


def add(commands: Any) -> None:
    """status and track."""
    text = "show a run's progress: jobs, epoch and loss, failures, hints"
    where = "Run it in the folder where snakemake runs. It only reads files and does not query the scheduler."
    parser = commands.add_parser("status", help=text, description=f"{text[0].upper()}{text[1:]}. {where}")
    parser.set_defaults(handler=_status)
    text = "write TensorBoard files of finished and running trainings"
    where = "They are written to logs/tensorboard in the results folder."
    parser = commands.add_parser("track", help=text, description=f"{text[0].upper()}{text[1:]}. {where}")
    add_folder(parser)
    parser.add_argument("--follow", action="store_true", help="update every 10 seconds until Ctrl-C")
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
