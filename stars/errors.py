"""The two ways a command ends early: the user can mend it, as where a file is not there, or a stage was asked to stop."""

from __future__ import annotations

from pathlib import Path


class InputError(ValueError):
    """Bad input or configuration. The message is one line: what is wrong, where, and what to do. Exit code 2."""


def given(path: Path | str, what: str) -> Path:
    """A file that the user names; InputError where it is not there, with `what` to name."""
    if not Path(path).is_file():
        raise InputError(f"{path}: no such file: name {what}")
    return Path(path)


class Interrupted(RuntimeError):
    """A stage saved its progress and left because it was told to, by `signal` (SIGINT, SIGTERM, SIGUSR1). Running it again continues."""

    signal: int | None = None
