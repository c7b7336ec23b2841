"""Trainings killed at random moments and started again, which must end with the bytes of undisturbed ones and leave
nothing else behind.

    make torture [KILLS=50] [SEED=0]        or, with more to say: python tests/torture.py --kills 20 --strategy dino --folder /tmp/torture

Stage 1 and stage 2 in turns: half of the SIGKILLs fall on each. A stage saves twenty times a second, so that many of
them fall while it writes. A run that ends before its kill comes is compared as well, and the stage begins anew. Each
run is `stars pretrain` or `stars tune` in a process of its own, started from a server that has torch already.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

from test_strategies import DINO, MOCO
from test_training import MODEL, PRETRAIN, TUNE, Bench, result, write_clips

from stars.config import Settings

STRATEGIES = {"nnclr": {}, "dino": DINO, "moco": MOCO}


def block(stage: str, strategy: str, epochs: float) -> Settings:
    """Settings of a stage."""
    plain = PRETRAIN if stage == "pretrain" else TUNE.model_copy(update=STRATEGIES[strategy])
    return plain.model_copy(update={"optimiser": plain.optimiser.model_copy(update={"epochs": epochs})})


def command(bench: Bench, stage: str, out: Path, told: Settings) -> list[str]:
    """A stage on one thread that saves twenty times a second."""
    settings = {"seed": 0, stage: told.model_dump(mode="json")}
    if stage == "pretrain":
        settings["model"] = MODEL.model_dump(mode="json")
    paths = {"clips": bench.clips, "train": bench.train, "out": out, "work": out.parent / ".work"}
    if stage == "tune":
        paths["parent"] = bench.parent()
    words = [word for name, path in paths.items() for word in (f"--{name}", str(path))]
    return [
        stage,
        *words,
        "--settings",
        json.dumps(settings),
        "--device",
        "cpu",
        "--threads",
        "1",
        "--checkpoint-seconds",
        "0.05",
    ]


def run(words: list[str]) -> None:
    """In a process of its own: what `stars` does with these words, silently."""
    from stars.cli import main

    multiprocessing.set_start_method("fork", force=True)  # tqdm's lock is then nothing that a kill leaves behind
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 1)
    os.dup2(silent, 2)
    sys.exit(main(words))


def start(words: list[str]) -> BaseProcess:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch", "stars.training.pretrain", "stars.training.tune", "stars.cli"])
    process = context.Process(target=run, args=(words,))
    process.start()
    return process


def finish(words: list[str]) -> float:
    """Seconds of a run to its end."""
    began, process = time.monotonic(), start(words)
    process.join()
    assert process.exitcode == 0, f"stars {words[0]} ended with code {process.exitcode}"
    return time.monotonic() - began


def kill(words: list[str], seconds: float, saved: Callable[[], bool] = lambda: True) -> bool:
    """Kill a run after so long and not before something is saved; False if it had ended by then."""
    process = start(words)
    while process.exitcode is None and not saved():
        process.join(0.001)
    process.join(seconds)
    if process.exitcode is None and process.pid is not None:
        os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert process.exitcode in (0, -signal.SIGKILL), f"stars {words[0]} ended with code {process.exitcode}"
    return process.exitcode != 0


def compare(out: Path, expected: dict[str, bytes]) -> None:
    """Every output has the undisturbed one's bytes, and beside outputs and record there is nothing."""
    found = result(out)
    different = [name for name in expected if found.get(name) != expected[name]]
    assert not different, f"{out}: other bytes in {', '.join(different)}"
    left = {path.relative_to(out.parent).as_posix() for path in out.parent.rglob("*")}
    orphans = left - {out.name} - {f"{out.name}/{name}" for name in (*expected, "record.json")}
    assert not orphans, f"left behind: {', '.join(sorted(orphans))}"


def torture(folder: Path, kills: int, seed: int, strategy: str = "nnclr", epochs: float = 100.0) -> dict[str, int]:
    """Kill each stage `kills` / 2 times and compare; how often each was killed, run to its end, and went on from a
    checkpoint.
    """
    folder.mkdir(parents=True, exist_ok=True)
    bench, draw = Bench(folder / "bench", write_clips(folder)), random.Random(seed)
    counts = {"kills": 0, "ends": 0, "resumed": 0}
    bench.folder.mkdir(exist_ok=True)
    for stage in ("pretrain", "tune"):
        told, undisturbed, out = (
            block(stage, strategy, epochs),
            folder / f"whole_{stage}" / stage,
            folder / f"killed_{stage}" / stage,
        )
        finish(command(bench, stage, folder / "first" / stage, told))  # a server that has just started is slow
        whole, words = finish(command(bench, stage, undisturbed, told)), command(bench, stage, out, told)
        goal = counts["kills"] + kills // 2

        def saved(work: Path = out.parent) -> bool:
            return any(work.glob(".work/*/*.ckpt"))

        while counts["kills"] < goal:
            moment = draw.uniform(0, min(whole, 0.2 * whole + 2 * whole / kills))
            # every other one has something to go on from
            if kill(words, 0, saved) if counts["kills"] % 2 else kill(words, moment):
                counts["kills"] += 1
                counts["resumed"] += saved()
            else:
                _ended(out, undisturbed, counts)
        finish(words)
        _ended(out, undisturbed, counts)
    return counts


def _ended(out: Path, undisturbed: Path, counts: dict[str, int]) -> None:
    compare(out, result(undisturbed))
    for path in out.iterdir():
        path.unlink()
    counts["ends"] += 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50, help="SIGKILLs, over both stages [50]")
    parser.add_argument("--seed", type=int, default=0, help="of the moments at which they come [0]")
    parser.add_argument("--strategy", choices=STRATEGIES, default="nnclr", help="loss of stage 2 [nnclr]")
    parser.add_argument("--folder", type=Path, help="where it happens, kept [a temporary one]")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        counts = torture(chosen.folder or Path(temporary), chosen.kills, chosen.seed, chosen.strategy)
    print(
        f"{counts['kills']} SIGKILLs, {counts['resumed']} of them with a checkpoint to go on from; {counts['ends']}"
        " runs to the end, each with the undisturbed run's bytes and nothing left behind"
    )


if __name__ == "__main__":
    main()
