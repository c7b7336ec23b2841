"""The training curve: losses accumulate on the device and are averaged into rows. It has no times, so equal runs
give equal bytes.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stars.provenance.files import write_text

COLUMNS = ("step", "epoch", "loss", "lr")


class Curve:
    """Rows so far, and the losses since the last row."""

    def __init__(self, extra: tuple[str, ...] = ()) -> None:
        self.columns = (*COLUMNS, *extra)
        self.rows: list[dict[str, float]] = []
        self.losses: list[float] = []
        self._waiting: list[Tensor] = []

    def add(self, loss: Tensor) -> None:
        """Add one step's loss, without synchronising with the device."""
        self._waiting.append(loss.detach())

    def fetch(self) -> int | None:
        """Copy pending losses to the host; returns how many steps ago the first non-finite one was (0: the latest),
        or None.
        """
        if self._waiting:
            self.losses += torch.stack(self._waiting).double().tolist()
            self._waiting.clear()
        return next((len(self.losses) - 1 - i for i, loss in enumerate(self.losses) if not math.isfinite(loss)), None)

    @property
    def latest(self) -> float:
        """Loss of the latest fetched step."""
        return self.losses[-1] if self.losses else self.rows[-1]["loss"]

    def close(self, step: int, epoch: float, lr: float, facts: Mapping[str, float]) -> None:
        """End a row: mean loss of its steps, and metrics of its last step."""
        loss = math.fsum(self.losses) / len(self.losses)
        self.rows.append({"step": step, "epoch": epoch, "loss": loss, "lr": lr, **facts})
        self.losses.clear()

    def state(self) -> dict[str, Any]:
        """State for a checkpoint; call `fetch` first."""
        return {"rows": [dict(row) for row in self.rows], "losses": list(self.losses)}

    def restore(self, state: dict[str, Any]) -> None:
        self.rows, self.losses, self._waiting = list(state["rows"]), list(state["losses"]), []

    def write(self, path: Path) -> None:
        """Write curve.csv, with six significant digits."""
        write_lines(path, [self.columns, *self.lines()])

    def lines(self) -> list[list[str]]:
        """The cells of each row."""
        return [[_cell(column, row) for column in self.columns] for row in self.rows]


def write_lines(path: Path, lines: Iterable[Sequence[str]]) -> None:
    """Write cells to a csv file."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    write_text(path, text.getvalue())


def _cell(column: str, row: Mapping[str, float]) -> str:
    """A cell's text, empty if it was not measured in this row."""
    return "" if column not in row else f"{row[column]:.0f}" if column == "step" else f"{row[column]:.6g}"
