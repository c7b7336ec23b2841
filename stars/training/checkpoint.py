"""Work in progress of a training: saved whole or not at all, kept outside the outputs, found again by what it depends on."""

from __future__ import annotations

import io
import math
import os
import pickle
import shutil
import time
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch

from stars.config import Checkpoint, Settings
from stars.provenance import code
from stars.provenance.files import atomic, digest, exclusive, hashes
from stars.training.progress import say

FORMAT = "stars-checkpoint-1"
DAMAGE = (OSError, EOFError, RuntimeError, KeyError, TypeError, ValueError, AttributeError, pickle.UnpicklingError, zipfile.BadZipFile)


class Refused(ValueError):
    """A checkpoint that may not be used; the message says why."""


class Work:
    """One training's folder: last.ckpt, and previous.ckpt in case the last is damaged."""

    def __init__(self, folder: Path, seconds: float, code: str = "", epochs: int = 0) -> None:
        self.folder, self.seconds, self.epochs = folder, seconds, epochs
        self.code = code  # digest of the source that trains now
        self.earlier: list[dict[str, Any]] = []  # runs that this training goes on from
        self._began = time.monotonic()
        self.last, self.previous = folder / "last.ckpt", folder / "previous.ckpt"
        self._saved = time.monotonic()
        self.keeps_end = False  # saved after the last step too

    def part(self, name: str) -> Work:
        """A folder within for one of several trainings of a process. Its end is saved too: the others go on after it."""
        own = Work(self.folder / name, self.seconds, self.code, self.epochs)
        own.keeps_end = True
        return own

    def due(self, epochs: int = 0, ended: bool = False) -> bool:
        """Whether to save now: the longest time between two checkpoints has passed, so many `epochs` are done at this step (0: none ends),
        or the training has ended and its end is kept."""
        counted = bool(self.epochs and epochs) and epochs % self.epochs == 0
        return time.monotonic() - self._saved >= self.seconds or counted or (ended and self.keeps_end)

    def save(self, state: Mapping[str, Any]) -> None:
        """Write tensors and plain values; the checkpoint before becomes previous.ckpt."""
        content = io.BytesIO()  # written by us, not by torch, so that a full disk is an OSError
        leg = {"until_step": state.get("step"), "code": self.code, "seconds": round(time.monotonic() - self._began, 1)}
        torch.save({"format": FORMAT, "work": self.folder.name, "legs": [*self.earlier, leg], **state}, content)
        with atomic(self.last) as temporary:
            temporary.write_bytes(content.getbuffer())
            if self.last.exists():
                self.last.replace(self.previous)
        self._saved = time.monotonic()

    def load(self, now: Mapping[str, Any]) -> dict[str, Any] | None:
        """The newest sound state of the form that `now` has, the state that would be saved now; None when there is none. Each one refused is
        said in a line."""
        for path in (self.last, self.previous):
            if not path.exists():
                continue
            try:
                state = self._read(path, now)
            except DAMAGE as error:
                reason = str(error).partition("\n")[0] if isinstance(error, Refused) else "it is damaged or incomplete"
                say(f"warning: {path} is not used: {reason}")
                continue
            self.earlier = state["legs"]
            if any(leg["code"] != self.code for leg in self.earlier):
                say(f"warning: {path} was made by another version of the source; the record says which")
            return state
        return None

    def _read(self, path: Path, now: Mapping[str, Any]) -> dict[str, Any]:
        with zipfile.ZipFile(path) as archive:
            if archive.testzip() is not None:  # torch.load itself does not compare checksums
                raise Refused("its checksum is wrong")
        state = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(state, dict) or state.get("format") != FORMAT or state.get("work") != self.folder.name:
            raise Refused("it is not a checkpoint of this training")
        if lacking := next(_lacking(state, {**now, "model": {}, "legs": []}), None):
            raise Refused(f"it has no {lacking}")
        if _shapes(state["model"]) != _shapes(now["model"]):
            raise Refused("its tensors are not those of this model")
        if _groups(state["optimiser"]) != _groups(now["optimiser"]):
            raise Refused("its optimiser's groups are not those of this model")
        if not isinstance(state["step"], int) or not all({"code", "seconds"} <= set(leg) for leg in state["legs"]):
            raise Refused("it does not say at which step, and after which runs, it was saved")
        return state

    def where(self) -> str:
        """The newest checkpoint, for messages."""
        return str(next((path for path in (self.last, self.previous) if path.exists()), "none yet"))


class Bystander(Work):
    """Of several processes, one that is not the first: it saves nothing, and is given what the first has loaded."""

    def __init__(self) -> None:
        super().__init__(Path(os.devnull), seconds=math.inf)

    def save(self, state: Mapping[str, Any]) -> None:
        pass

    def load(self, now: Mapping[str, Any]) -> None:
        pass


def _shapes(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in tensors.items()}


def _groups(optimiser: Mapping[str, Any]) -> list[int]:
    """How many tensors each group of an optimiser's state has."""
    return [len(group["params"]) for group in optimiser["param_groups"]]


def _lacking(found: Any, like: Any, name: str = "") -> Iterator[str]:
    """Names of the dicts and lists, and of the keys of dicts, that `like` has and `found` has not: "curve.rows"."""
    if isinstance(like, dict | list) and not isinstance(found, dict if isinstance(like, dict) else list):
        yield name
    elif isinstance(like, dict):
        for key, value in like.items():
            inner = f"{name}.{key}".lstrip(".")
            yield from _lacking(found[key], value, inner) if key in found else (inner,)


@contextmanager
def work_in_progress(checkpoint: Checkpoint, stage: str, settings: Settings, inputs: Mapping[str, Path]) -> Iterator[Work]:
    """Hold the folder of this training, named by the digest of stage, settings and inputs; on success it is removed.

    Raises InputError when another run holds it.
    """
    found = {role: entry["sha256"] for role, entry in hashes(inputs).items()}
    name = digest({"stage": stage, "settings": settings.model_dump(mode="json"), "inputs": found})[:32]
    folder = Path(checkpoint.folder) / name
    try:
        with exclusive(folder):
            for leftover in folder.glob(".*.tmp*"):
                leftover.unlink()
            yield Work(folder, checkpoint.seconds, code.digest_of(stage), checkpoint.epochs)
            shutil.rmtree(folder, ignore_errors=True)  # not there when nothing was saved
    finally:
        with suppress(OSError):  # others train
            folder.parent.rmdir()
