"""Several processes of one training: starts this command once per process, with the environment variables of torchrun.

torchrun is not used: it exits with code 1 whatever its processes returned, and orphans them when it is killed.
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
from contextlib import ExitStack, contextmanager, suppress
from types import FrameType
from typing import IO

from stars.cli import nodes

SPEAKS_FOR_ALL = (0, 2, 75)  # exit codes of the first process that decide the result, whatever the others return
GRACE = 10.0  # seconds for the others to end after one has failed
CHILD = "STARS_LAUNCHED"


def launch(arguments: Sequence[str], processes: int, across: int = 1) -> int:
    """Run `stars ARGUMENTS` in `processes` processes, spread evenly `across` nodes of a Slurm job; return their exit
    code.

    SIGINT, SIGTERM and SIGUSR1 are forwarded to the processes on this machine; those on other nodes stop at the same
    step. Only the first process writes to the terminal; stderr of the others is shown only if one of them fails.
    """
    here, node = nodes.share(processes, across), nodes.number()
    others = nodes.others(across) if across > 1 and node == 0 else []
    shared = {"WORLD_SIZE": str(processes), "LOCAL_WORLD_SIZE": str(here), "MASTER_ADDR": nodes.first(), CHILD: "1"}
    shared["MASTER_PORT"] = os.environ["MASTER_PORT"] if node else str(free_port())
    names = [f"process {node * here + rank}" for rank in range(here)] + [f"node {name}" for name in others]
    with ExitStack() as stack:
        said = [stack.enter_context(tempfile.TemporaryFile()) for _ in names[1:]]
        ranks: list[subprocess.Popen[bytes]] = []
        sruns: list[subprocess.Popen[bytes]] = []
        stack.enter_context(_passed_on(ranks))
        stack.callback(_end, ranks, sruns)
        gloo = nodes.interface(others[0] if others else nodes.first()) if across > 1 else {}
        for rank in range(here):
            place = {"RANK": str(node * here + rank), "LOCAL_RANK": str(rank), **gloo}
            ranks.append(_start(arguments, {**shared, **place}, said[rank - 1] if rank else None))
        for number, (name, file) in enumerate(zip(others, said[here - 1 :], strict=True), 1):
            sruns.append(nodes.start(arguments, number, name, shared, file))
        _wait(ranks, sruns)
        return _verdict({name: child.returncode for name, child in zip(names, ranks + sruns, strict=True)}, said)


def follow_launcher() -> None:
    """In a process that `launch` started, on any node: exit when the launcher exits for any reason, so that no
    process is orphaned.
    """
    if CHILD in os.environ:
        threading.Thread(target=_follow, daemon=True).start()


def _follow() -> None:
    os.read(sys.stdin.fileno(), 1)  # returns when the launcher closes its end of the pipe
    os._exit(1)


def _start(arguments: Sequence[str], place: dict[str, str], stderr: IO[bytes] | None) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "stars", *arguments],
        env={**os.environ, **place},
        process_group=0,  # so that a terminal's Ctrl-C reaches them once, through this process
        stdin=subprocess.PIPE,
        stdout=None if place["RANK"] == "0" else subprocess.DEVNULL,
        stderr=stderr,
    )


def free_port() -> int:
    """A free TCP port of this machine."""
    with socket.socket() as listener:
        listener.bind(("", 0))
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


def _wait(ranks: list[subprocess.Popen[bytes]], sruns: list[subprocess.Popen[bytes]]) -> None:
    """Wait until all have ended; if one fails, end the others after `GRACE`, since they may wait for it forever."""
    deadline = float("inf")
    while None in (codes := [child.poll() for child in ranks + sruns]):
        if not {None, 0, 75}.issuperset(codes):
            deadline = min(deadline, time.monotonic() + GRACE)
        if time.monotonic() > deadline:
            _end(ranks, sruns)
        time.sleep(0.05)


def _end(ranks: list[subprocess.Popen[bytes]], sruns: list[subprocess.Popen[bytes]]) -> None:
    """End all processes. Each srun is given time first, since killing it would orphan its task, which exits when its
    input is closed.
    """
    for rank in ranks:
        rank.kill()
        rank.wait()
    for srun in sruns:
        with suppress(subprocess.TimeoutExpired):
            srun.communicate(timeout=GRACE)
        srun.kill()
        srun.wait()


def _verdict(codes: dict[str, int], said: Sequence[IO[bytes]]) -> int:
    spoken = next(iter(codes.values()))
    if spoken in SPEAKS_FOR_ALL:
        return spoken
    if -signal.SIGINT in codes.values():
        return 128 + signal.SIGINT
    for file in said:
        file.seek(0)
        print(file.read().decode(errors="replace"), end="", file=sys.stderr)
    ended = ", ".join(f"{name} with code {code}" for name, code in codes.items())
    print(
        f"stars: a training process failed ({ended}): run the same command again to resume from the last checkpoint",
        file=sys.stderr,
    )
    return 1
