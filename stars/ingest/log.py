"""What happened to the raw files that did not become clips."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from stars.config import Ingest
from stars.errors import InputError
from stars.provenance.files import write_text

BAD_FILES = "bad_files.txt"
SHOWN = 20  # bad files named in the error; all of them are in BAD_FILES


@dataclass
class Log:
    """Files left out.

    Attributes:
        name: of the data set, for messages.
        dropped: name, source and reason of each.
        bad: what is wrong with each file that cannot be read.
    """

    name: str
    dropped: list[dict[str, str]] = field(default_factory=list)
    bad: list[str] = field(default_factory=list)

    def drop(self, name: str, source: str, reason: str) -> None:
        """Leave a clip out."""
        self.dropped.append({"name": name, "source": source, "reason": reason})

    def unreadable(self, source: str, reason: str) -> None:
        """Leave a bad file out."""
        self.bad.append(reason)
        self.drop(PurePosixPath(source).name, source, reason)

    def check(self, out: Path, settings: Ingest) -> None:
        """Raise, naming them all, where unreadable files are errors."""
        (out / BAD_FILES).unlink(missing_ok=True)
        if not self.bad or settings.on_bad_file == "skip":
            return
        bad = self.bad
        write_text(out / BAD_FILES, "".join(f"{reason}\n" for reason in bad))
        leave = f"leave such files out with data.{self.name}.ingest.on_bad_file: skip"
        if len(bad) == 1:
            raise InputError(f"{bad[0]}; mend the file, or {leave}")
        shown = bad[:SHOWN] + [f"and {len(bad) - SHOWN} more, all in {out / BAD_FILES}"] * (len(bad) > SHOWN)
        raise InputError("\n  ".join([f"{len(bad)} files cannot be used; mend them, or {leave}:", *shown]))

    def check_any(self, kept: int) -> None:
        """Raise where nothing is left."""
        if not kept:
            reason, times = Counter(entry["reason"] for entry in self.dropped).most_common(1)[0]
            raise InputError(f"no file of data.{self.name}.raw became a clip; the most frequent reason, {times} times: {reason}")
