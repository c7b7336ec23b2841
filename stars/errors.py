"""The two ways a command ends early: the user can mend it, or a stage was asked to stop."""

from __future__ import annotations


class InputError(ValueError):
    """Bad input or configuration. The message is one line: what is wrong, where, and what to do. Exit code 2."""


class Interrupted(RuntimeError):
    """A stage saved its progress and left because it was told to, by `signal` (SIGTERM, SIGUSR1). Running it again continues."""

    signal: int | None = None
