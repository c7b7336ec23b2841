"""Checkpoints of a training: saved atomically, outside the outputs, in a folder named by the digest of all inputs
and settings.
"""

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
from stars.provenance.files import atomic, digest, exclusive
from stars.training.progress import say

FORMAT = "stars-checkpoint-1"
DAMAGE = (
    OSError,
    EOFError,
    RuntimeError,
    KeyError,
    TypeError,
    ValueError,
    AttributeError,
    pickle.UnpicklingError,
    zipfile.BadZipFile,
)


class Refused(ValueError):
    """An unusable checkpoint; the message gives the reason."""


class Work:
    """A training's folder with last.ckpt, and previous.ckpt in case the last is damaged."""

    def __init__(self, folder: Path, seconds: float, code: str = "", epochs: int = 0) -> None:
        self.folder, self.seconds, self.epochs = folder, seconds, epochs
        self.code = code  # digest of the current source
        self.earlier: list[dict[str, Any]] = []  # earlier runs of this training
        self._began = time.monotonic()
        self.last, self.previous = folder / "last.ckpt", folder / "previous.ckpt"
        self._saved = time.monotonic()
        self.keeps_end = False  # also save after the last step

    def part(self, name: str) -> Work:
        """A subfolder for one of several trainings in a process. It also saves the last step, since other trainings
        follow.
        """
        own = Work(self.folder / name, self.seconds, self.code, self.epochs)
        own.keeps_end = True
        return own

    def due(self, epochs: int = 0, ended: bool = False) -> bool:
        """Whether to save now: after the maximum time between checkpoints, after the configured number of `epochs` (0:
        no epoch ends at this step), or at the end if it is kept."""
        counted = bool(self.epochs and epochs) and epochs % self.epochs == 0
        return time.monotonic() - self._saved >= self.seconds or counted or (ended and self.keeps_end)

    def save(self, state: Mapping[str, Any]) -> None:
        """Write tensors and plain values; the last checkpoint becomes previous.ckpt."""
        content = io.BytesIO()  # written by us, not by torch, so that a full disk raises OSError
        leg = {"until_step": state.get("step"), "code": self.code, "seconds": round(time.monotonic() - self._began, 1)}
        torch.save({"format": FORMAT, "work": self.folder.name, "legs": [*self.earlier, leg], **state}, content)
        with atomic(self.last) as temporary:
            temporary.write_bytes(content.getbuffer())
            if self.last.exists():
                self.last.replace(self.previous)
        self._saved = time.monotonic()

    def load(self, now: Mapping[str, Any]) -> dict[str, Any] | None:
        """The latest valid state with the structure of `now`, the state that would be saved now; None without one.
        Prints a warning for each unusable checkpoint."""
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
                say(f"warning: {path} was written by another version of the source; see the record")
            return state
        return None

    def _read(self, path: Path, now: Mapping[str, Any]) -> dict[str, Any]:
        with zipfile.ZipFile(path) as archive:
            if archive.testzip() is not None:  # torch.load does not verify checksums
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
            raise Refused("it lacks its step or its earlier runs")
        return state

    def where(self) -> str:
        """The latest checkpoint, for messages."""
        return str(next((path for path in (self.last, self.previous) if path.exists()), "none yet"))


class Bystander(Work):
    """Work of a process other than the first: saves nothing, and receives the state that the first has loaded."""

    def __init__(self) -> None:
        super().__init__(Path(os.devnull), seconds=math.inf)

    def save(self, state: Mapping[str, Any]) -> None:
        pass

    def load(self, now: Mapping[str, Any]) -> None:
        pass


def _shapes(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in tensors.items()}


def _groups(optimiser: Mapping[str, Any]) -> list[int]:
    """Number of tensors in each group of an optimiser's state."""
    return [len(group["params"]) for group in optimiser["param_groups"]]


def _lacking(found: Any, like: Any, name: str = "") -> Iterator[str]:
    """Names of dicts, lists and keys in `like` that are missing in `found`, such as "curve.rows"."""
    if isinstance(like, dict | list) and not isinstance(found, dict if isinstance(like, dict) else list):
        yield name
    elif isinstance(like, dict):
        for key, value in like.items():
            inner = f"{name}.{key}".lstrip(".")
            yield from _lacking(found[key], value, inner) if key in found else (inner,)


@contextmanager
def work_in_progress(
    checkpoint: Checkpoint, stage: str, settings: Settings, hashed: Mapping[str, Mapping[str, str]]
) -> Iterator[Work]:
    """Lock the folder of this training, named by the digest of stage, settings and inputs; remove it on success.

    Args:
        hashed: `stars.provenance.files.hashes` of the inputs.

    Raises InputError if another run has locked it.
    """
    found = {role: entry["sha256"] for role, entry in hashed.items()}
    name = digest({"stage": stage, "settings": settings.model_dump(mode="json"), "inputs": found})[:32]
    folder = Path(checkpoint.folder) / name
    try:
        with exclusive(folder):
            for leftover in folder.glob(".*.tmp*"):
                leftover.unlink()
            yield Work(folder, checkpoint.seconds, code.digest_of(stage), checkpoint.epochs)
            shutil.rmtree(folder, ignore_errors=True)  # absent if nothing was saved
    finally:
        with suppress(OSError):  # other trainings remain
            folder.parent.rmdir()
