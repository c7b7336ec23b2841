"""`stars COMMAND`: each stage of the pipeline, callable without Snakemake.

A command takes its input and output files as options, and its settings in one of two ways: resolved from a
configuration (`--config`, `--data`, `--recipe`, `--set`), or exactly as given (`--settings`, which the workflow uses).
Stages are imported when they run, which keeps `stars --help` fast.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from stars.cli import (
    audit,
    bench,
    groups,
    inference,
    init,
    inspect,
    own,
    paper,
    plan,
    plugins,
    report,
    running,
    start,
    status,
    tools,
)
from stars.errors import InputError, Interrupted, line_of, shown
from stars.jobs.journal import AGAIN
from stars.jobs.requeue import queue_again

REQUEUE = 75  # EX_TEMPFAIL: progress is saved; running the same command again resumes
CTRL_C = 130  # 128 + SIGINT, as in shells


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Exit code 0: done; 1: failed; 2: bad input or configuration; 75: stopped, run again to
    resume; 130: Ctrl-C.
    """
    try:
        given = _expanded(sys.argv[1:] if arguments is None else arguments)
        if arguments is None:
            sys.argv[1:] = given  # records contain it
        chosen = _parsed(given)
        chosen.arguments = given
        return chosen.handler(chosen) or 0
    except InputError as error:
        print(f"stars: {error}", file=sys.stderr)
        return 2
    except Interrupted as error:
        print(f"stars: {f'{AGAIN}: ' if error.signal == signal.SIGINT else ''}{error}", file=sys.stderr)
        if error.signal == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # a second Ctrl-C then ends the process silently
        if error.signal == signal.SIGUSR1:
            queue_again()
        return REQUEUE
    except KeyboardInterrupt:  # no training is running
        print(f"stars: {AGAIN}", file=sys.stderr)
        return CTRL_C
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _expanded(arguments: Sequence[str]) -> list[str]:
    """Replace each @FILE argument by the contents of FILE, since Linux limits an argument to 128 KiB."""
    return [_held(word[1:]) if word.startswith("@") else word for word in arguments]


def _held(file: str) -> str:
    try:
        return Path(file).read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"@{file}: {error.strerror}: give a file that contains the argument") from None


class _Parser(argparse.ArgumentParser):
    """Parser with short error messages that suggest the nearest valid choice."""

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            from stars.config.reading import nearest

            raise argparse.ArgumentError(
                action, f"invalid choice: {shown(value)}{nearest(str(value), map(str, action.choices))}"
            )

    def error(self, message: str) -> NoReturn:
        super().error(line_of(message))


class _Commands(_Parser):
    """The parser of `stars` itself: its --help lists the commands in groups."""

    def format_help(self) -> str:
        return groups.text(self.helps())

    def helps(self) -> dict[str, str]:
        """Command → its help text."""
        assert self._subparsers is not None
        (commands,) = self._subparsers._group_actions
        return {action.dest: str(action.help) for action in commands._get_subactions()}  # type: ignore[attr-defined]


def _parser() -> tuple[_Commands, Any]:
    parser = _Commands(prog="stars")
    parser.set_defaults(handler=start.start)
    commands = parser.add_subparsers(metavar="COMMAND", parser_class=_Parser)
    for group in (running, inference, own, paper, report, inspect, plugins, plan, status, tools, init, bench, audit):
        group.add(commands)
    return parser, commands


def _parsed(arguments: Sequence[str]) -> argparse.Namespace:
    parser, commands = _parser()
    if arguments and not arguments[0].startswith("-") and arguments[0] not in commands.choices:
        from stars.config.reading import nearest

        raise InputError(f"no command {arguments[0]}{nearest(arguments[0], commands.choices)}")
    return parser.parse_args(arguments)
