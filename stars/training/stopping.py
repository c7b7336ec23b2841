"""Signals that ask a training to stop: it saves after the step it is at and leaves. A second Ctrl-C ends it at once."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from stars.errors import Interrupted

NOTICE = signal.SIGUSR1  # a scheduler's, that time is nearly up
SAID = b"\nstars: interrupted: saves after this step; a second Ctrl-C ends it at once\n"
_early: list[int] | None = None  # what came while nothing trained; None where nobody keeps it


@contextmanager
def notices_kept() -> Iterator[None]:
    """Keep a scheduler's notice that comes while nothing trains, or too late for a training: the next one within the block stops after its
    first step.

    Without this, one that comes while clips are read, or between two trainings of a stage, is lost, and the job ends with its time.
    """
    global _early
    early: list[int] = []
    _early = early
    try:
        with _noted([NOTICE], early):
            yield
    finally:
        _early = None


@contextmanager
def stop_signals() -> Iterator[Callable[[], bool]]:
    """Turn Ctrl-C, SIGTERM and a scheduler's notice into a flag, yielded as a function.

    An Interrupted that leaves the block is told which of them came last. What a block that ends well did not heed is left to the next one
    (`notices_kept`).
    """
    came: list[int] = []
    with _noted([signal.SIGINT, signal.SIGTERM, NOTICE], came):
        if _early is not None:  # only now, when all that comes is noted in `came`
            came[:0] = _early
            _early.clear()
        try:
            yield lambda: bool(came)
        except Interrupted as error:
            error.signal = came[-1] if came else None
            raise
    if _early is not None:
        _early[:0] = came


@contextmanager
def _noted(signals: list[signal.Signals], came: list[int]) -> Iterator[None]:
    """Append these signals to `came` as they arrive; the handlers before come back at the end. Only in the main thread, which alone may have any."""

    def note(number: int, frame: FrameType | None) -> None:
        again = number in came
        came.append(number)  # before anything is said: whoever reads it may send the next one at once
        if number == signal.SIGINT and again:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        elif number == signal.SIGINT and os.environ.get("RANK", "0") == "0":
            os.write(2, SAID)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heeded = [number for number in signals if number != signal.SIGINT or signal.getsignal(number) != signal.SIG_IGN]  # as of `nohup`
    before = {number: signal.signal(number, note) for number in heeded}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
