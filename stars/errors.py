"""The two ways a command ends early: an error that the user can fix, such as a missing file, or a request to stop."""

from __future__ import annotations

import re
import reprlib
from pathlib import Path
from typing import Any

LONGEST, END = 1500, 500  # characters of a message; of these, at its end, which contains what to do
ECHO = 80  # characters of a value in a message
UNPRINTED = re.compile(r"[\x00-\x1f\x7f]+")


class InputError(ValueError):
    """Bad input or configuration. The message is one line: what is wrong, where, and what to do. Exit code 2.

    Line breaks become spaces, and the middle of a very long message is left out.
    """

    def __init__(self, message: object) -> None:
        super().__init__(line_of(str(message)))


def line_of(message: str) -> str:
    """A message as one line of at most some `LONGEST` characters."""
    text = UNPRINTED.sub(" ", message)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - END]} … {text[-END:]}"


def shown(value: Any) -> str:
    """A value as Python writes it, for a message: cut to `ECHO` characters."""
    brief = reprlib.Repr()
    brief.maxlevel, brief.maxstring, brief.maxother, brief.maxlong = 3, ECHO, ECHO, ECHO
    text = brief.repr(value)
    return text if len(text) <= ECHO else f"{text[: ECHO - 2]} …"


def given(path: Path | str, what: str) -> Path:
    """A file given by the user; InputError if it does not exist, with `what` to name."""
    if not Path(path).is_file():
        raise InputError(f"{path}: no such file: name {what}")
    return Path(path)


class Interrupted(RuntimeError):
    """A stage saved its progress and ended on `signal` (SIGINT, SIGTERM, SIGUSR1). Running it again resumes."""

    signal: int | None = None
