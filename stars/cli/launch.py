"""Several processes of one training: this command started once for each, with the environment that torchrun would give it.

Not torchrun itself, which answers 1 for whatever exit code its processes had, and leaves them behind when it is killed.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import IO

SPEAKS_FOR_ALL = (0, 2, 75)  # the first process's exit codes that say how the training ended, whatever became of the others
GRACE = 10.0  # seconds in which the others may end after one has failed
CHILD = "STARS_LAUNCHED"


def launch(arguments: Sequence[str], processes: int) -> int:
    """Run `stars ARGUMENTS` in `processes` processes on this machine and pass SIGINT, SIGTERM and SIGUSR1 on; its exit code.

    The first process speaks: what the others write to stderr is shown only if one of them broke.
    """
    with ExitStack() as stack:
        said = [stack.enter_context(tempfile.TemporaryFile()) for _ in range(1, processes)]
        ranks: list[subprocess.Popen[bytes]] = []
        stack.enter_context(_passed_on(ranks))
        stack.callback(_end, ranks)
        port = str(free_port())
        for rank in range(processes):
            ranks.append(_start(arguments, rank, processes, port, said[rank - 1] if rank else None))
        _wait(ranks)
        return _verdict([rank.returncode for rank in ranks], said)


def follow_launcher() -> None:
    """In a process that `launch` started: end when the launcher is gone, however it went, so that none is left behind."""
    if CHILD in os.environ:
        threading.Thread(target=_follow, daemon=True).start()


def _follow() -> None:
    os.read(sys.stdin.fileno(), 1)  # a pipe that nobody writes to: this returns when its other end is closed
    os._exit(1)


def _start(arguments: Sequence[str], rank: int, processes: int, port: str, stderr: IO[bytes] | None) -> subprocess.Popen[bytes]:
    place = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(processes), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    return subprocess.Popen(
        [sys.executable, "-m", "stars", *arguments],
        env={**os.environ, **place, CHILD: "1"},
        process_group=0,  # so that a terminal's Ctrl-C reaches them once, through this process
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL if rank else None,
        stderr=stderr,
    )


def free_port() -> int:
    """A TCP port of this machine that nobody listens to."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextmanager
def _passed_on(ranks: list[subprocess.Popen[bytes]]) -> Iterator[None]:
    def forward(number: int, frame: FrameType | None) -> None:
        for rank in ranks:
            rank.send_signal(number)

    before = {number: signal.signal(number, forward) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _wait(ranks: list[subprocess.Popen[bytes]]) -> None:
    """Until all have ended; when one fails, the others have a little time, since they may wait for it for ever."""
    deadline = float("inf")
    while any(rank.poll() is None for rank in ranks):
        if any(rank.returncode not in (None, 0, 75) for rank in ranks):
            deadline = min(deadline, time.monotonic() + GRACE)
        if time.monotonic() > deadline:
            _end(ranks)
        time.sleep(0.05)


def _end(ranks: list[subprocess.Popen[bytes]]) -> None:
    for rank in ranks:
        rank.kill()
        rank.wait()


def _verdict(codes: list[int], said: Sequence[IO[bytes]]) -> int:
    if codes[0] in SPEAKS_FOR_ALL:
        return codes[0]
    if -signal.SIGINT in codes:
        return 128 + signal.SIGINT
    for file in said:
        file.seek(0)
        print(file.read().decode(errors="replace"), end="", file=sys.stderr)
    ended = ", ".join(f"process {rank} with code {code}" for rank, code in enumerate(codes))
    print(f"stars: a process of this training failed ({ended}): run again to go on from the last checkpoint", file=sys.stderr)
    return 1
