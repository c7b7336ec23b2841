"""`stars COMMAND`: each stage of the pipeline, callable without Snakemake.

A command takes the files it reads and writes as options, and its settings in one of two ways: resolved from a configuration
(`--config`, `--data`, `--method`, `--set`), or exactly as given (`--settings`, which the workflow uses). Stages are imported when
they run, so that `stars --help` answers at once.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from stars.cli import audit, bench, groups, inference, init, inspect, own, paper, plan, plugins, report, running, start, status, tools
from stars.errors import InputError, Interrupted, line_of, shown
from stars.jobs.journal import AGAIN
from stars.jobs.requeue import queue_again

REQUEUE = 75  # EX_TEMPFAIL: progress is saved, running the command again continues
CTRL_C = 130  # as a shell calls it: 128 + SIGINT


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Exit code 0: done; 1: failed; 2: bad input or configuration; 75: stopped, run again to continue; 130: Ctrl-C."""
    try:
        given = _expanded(sys.argv[1:] if arguments is None else arguments)
        if arguments is None:
            sys.argv[1:] = given  # what a record keeps
        chosen = _parsed(given)
        chosen.arguments = given
        return chosen.handler(chosen) or 0
    except InputError as error:
        print(f"stars: {error}", file=sys.stderr)
        return 2
    except Interrupted as error:
        print(f"stars: {f'{AGAIN}: ' if error.signal == signal.SIGINT else ''}{error}", file=sys.stderr)
        if error.signal == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # what is left ends without a word at a second one
        if error.signal == signal.SIGUSR1:
            queue_again()
        return REQUEUE
    except KeyboardInterrupt:  # while nothing trains
        print(f"stars: {AGAIN}", file=sys.stderr)
        return CTRL_C
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _expanded(arguments: Sequence[str]) -> list[str]:
    """Arguments, each @FILE replaced by what FILE holds: Linux starts no program with an argument of 128 KiB or more."""
    return [_held(word[1:]) if word.startswith("@") else word for word in arguments]


def _held(file: str) -> str:
    try:
        return Path(file).read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"@{file}: {error.strerror}: name a file that holds the argument") from None


class _Parser(argparse.ArgumentParser):
    """Its complaints are short, however long the words are that it was given, and name the nearest right one."""

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            from stars.config.reading import nearest

            raise argparse.ArgumentError(action, f"invalid choice: {shown(value)}{nearest(str(value), map(str, action.choices))}")

    def error(self, message: str) -> NoReturn:
        super().error(line_of(message))


class _Commands(_Parser):
    """The parser of `stars` itself: its --help lists the commands in groups."""

    def format_help(self) -> str:
        return groups.text(self.helps())

    def helps(self) -> dict[str, str]:
        """Command → what it does, in a phrase."""
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
