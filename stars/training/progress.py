"""Progress on stderr: a bar on a terminal, an occasional line in a log."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from tqdm import tqdm

from stars.training import parallel

LOG_SECONDS = 10.0
BAR_SECONDS = 0.5


def say(line: str) -> None:
    """Print a line on stderr without breaking a progress bar; only in the first of several processes."""
    if parallel.rank() == 0:
        tqdm.write(line, file=sys.stderr)
        sys.stderr.flush()


class Progress:
    """Progress of a training of `steps` steps of `batch` clips, of which `done` were done by an earlier run."""

    def __init__(self, stage: str, steps: int, steps_per_epoch: int, batch: int, done: int = 0) -> None:
        self.stage, self.steps, self.steps_per_epoch, self.batch = stage, steps, steps_per_epoch, batch
        self.first, self.began = done, time.monotonic()
        self.shown = self.began
        self.speaks = parallel.rank() == 0
        terminal = self.speaks and sys.stderr.isatty()
        self.seconds = BAR_SECONDS if terminal else LOG_SECONDS
        self.bar = tqdm(total=steps, initial=done, desc=stage, unit="step", disable=not terminal, file=sys.stderr)

    def __enter__(self) -> Progress:
        if self.first:
            say(f"{self.stage}: continuing after step {self.first} of {self.steps}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.close()

    def due(self) -> bool:
        """Whether to show progress now; reading the loss synchronises with the device."""
        return self.speaks and time.monotonic() - self.shown >= self.seconds

    def show(self, done: int, loss: float) -> None:
        """Show step, epoch, loss, clips per second since this run started, and the remaining time."""
        self.shown = time.monotonic()
        pace = (self.shown - self.began) / max(1, done - self.first)
        rate, left = self.batch / pace, pace * (self.steps - done)
        epoch = done / self.steps_per_epoch
        if self.bar.disable:
            say(
                f"{self.stage}: step {done}/{self.steps}  epoch {epoch:.1f}  loss {loss:.4f}"
                f"  {rate:.0f} clips/s  {tqdm.format_interval(left)} left"
            )
            return
        self.bar.set_postfix_str(f"epoch {epoch:.1f}, loss {loss:.4f}, {rate:.0f} clips/s", refresh=False)
        self.bar.update(done - self.bar.n)
