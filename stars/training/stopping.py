"""Signals that ask a training to stop: it saves after the step it is at and leaves."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from stars.errors import Interrupted

NOTICE = signal.SIGUSR1  # a scheduler's, that time is nearly up
_early: list[int] = []  # notices that came while nothing trained


@contextmanager
def notices_kept() -> Iterator[None]:
    """Keep a scheduler's notice that comes while nothing trains: the next training within the block stops after its first step.

    Without this, one that comes while clips are read, or between two trainings of a stage, is lost, and the job ends with its time.
    """
    try:
        with _noted([NOTICE], _early):
            yield
    finally:
        _early.clear()


@contextmanager
def stop_signals() -> Iterator[Callable[[], bool]]:
    """Turn SIGTERM and a scheduler's notice into a flag, yielded as a function.

    An Interrupted that leaves the block is told which of them came last.
    """
    came = _early.copy()
    with _noted([signal.SIGTERM, NOTICE], came):
        try:
            yield lambda: bool(came)
        except Interrupted as error:
            error.signal = came[-1] if came else None
            raise


@contextmanager
def _noted(signals: list[signal.Signals], came: list[int]) -> Iterator[None]:
    """Append these signals to `came` as they arrive; the handlers before come back at the end. Only in the main thread, which alone may have any."""

    def note(number: int, frame: FrameType | None) -> None:
        came.append(number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, note) for number in signals}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
