"""Records raw files that did not become clips."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from stars.config import Ingest
from stars.errors import InputError
from stars.provenance.files import write_text

BAD_FILES = "bad_files.txt"
SHOWN = 20  # bad files named in the error; BAD_FILES lists all


@dataclass
class Log:
    """Skipped files.

    Attributes:
        name: of the data set, for messages.
        dropped: name, source and reason of each.
        bad: the error of each unreadable file.
    """

    name: str
    dropped: list[dict[str, str]] = field(default_factory=list)
    bad: list[str] = field(default_factory=list)

    def drop(self, name: str, source: str, reason: str) -> None:
        """Skip a clip."""
        self.dropped.append({"name": name, "source": source, "reason": reason})

    def unreadable(self, source: str, reason: str) -> None:
        """Skip an unreadable file."""
        self.bad.append(reason)
        self.drop(PurePosixPath(source).name, source, reason)

    def check(self, out: Path, settings: Ingest) -> None:
        """InputError naming all unreadable files, unless the settings skip them."""
        (out / BAD_FILES).unlink(missing_ok=True)
        if not self.bad or settings.on_bad_file == "skip":
            return
        bad = self.bad
        write_text(out / BAD_FILES, "".join(f"{reason}\n" for reason in bad))
        leave = f"skip such files with data.{self.name}.ingest.on_bad_file: skip"
        if len(bad) == 1:
            raise InputError(f"{bad[0]}; repair the file, or {leave}")
        shown = bad[:SHOWN] + [f"and {len(bad) - SHOWN} more, all in {out / BAD_FILES}"] * (len(bad) > SHOWN)
        raise InputError("\n  ".join([f"{len(bad)} files cannot be used; repair them, or {leave}:", *shown]))

    def check_any(self, kept: int) -> None:
        """InputError if no clip is left."""
        if not kept:
            reason, times = Counter(entry["reason"] for entry in self.dropped).most_common(1)[0]
            raise InputError(
                f"no file of data.{self.name}.raw became a clip; the most frequent reason, {times} times: {reason}"
            )
