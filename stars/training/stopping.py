"""Signals that stop a training: it saves after the current step and exits. A second Ctrl-C stops it at once."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from stars.errors import Interrupted

NOTICE = signal.SIGUSR1  # a scheduler's notice that time is nearly up
SAID = b"\nstars: interrupted: saves after this step; a second Ctrl-C ends it at once\n"
_early: list[int] | None = None  # notices that came while nothing was training; None outside `notices_kept`


@contextmanager
def notices_kept() -> Iterator[None]:
    """Keep a scheduler's notice that comes outside a training, or too late for one: the next training within the block
    stops after its first step.

    Otherwise a notice during reading, or between two trainings of a stage, would be lost, and the job would run into
    its time limit.
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

    An Interrupted that leaves the block records the last signal. A notice that the block did not act on is left to the
    next one (`notices_kept`).
    """
    came: list[int] = []
    with _noted([signal.SIGINT, signal.SIGTERM, NOTICE], came):
        if _early is not None:  # only now, when every signal is noted in `came`
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
    """Append these signals to `came` as they arrive; restores the former handlers at the end. Only in the main
    thread.
    """

    def note(number: int, frame: FrameType | None) -> None:
        again = number in came
        came.append(number)  # before printing: a reader may send the next signal at once
        if number == signal.SIGINT and again:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        elif number == signal.SIGINT and os.environ.get("RANK", "0") == "0":
            os.write(2, SAID)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    # as under `nohup`
    heeded = [number for number in signals if number != signal.SIGINT or signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, note) for number in heeded}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
