"""Results made by an older version of the code where this only warns: whatever trains, protocols included, and what it is made from.

A reworded comment must not cost days on a GPU, whether it stands in a training stage or in one before it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from stars.pipeline.stages import STAGES
from stars.provenance import code

KEPT = tuple(dict.fromkeys(stage.module for stage in STAGES.values() if stage.kept))
RECORDS = (
    *("*/raw.zip.record.json", "*/clips/record.json", "*/splits/*.record.json", "*/splits/*/*/*.record.json"),
    *("*_*/*/record.json", "*_*/*/*/record.json", "*_*/*/*/*/record.json"),
)


def read_already(clips: Path, raw: str) -> bool:
    """Whether a clip store is there and its record names no other raw files than these, which may then be gone."""
    try:
        record = json.loads((clips / "record.json").read_text(encoding="utf-8"))
        read = record["inputs"].get("raw") or record["notes"]["raw"]  # a folder is no input: its files stand in clips.csv
        return (clips / "offsets.npy").exists() and Path(read.get("path", raw)).absolute() == Path(raw).absolute()
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def warnings(results: Path) -> Iterator[str]:
    """A line for every result of these stages under `results` whose source differs from today's."""
    for path in sorted({path for pattern in RECORDS for path in results.glob(pattern)}):
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            stage, digest = record["stage"], record["code"]["digest"]
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if stage.split("+")[0] in KEPT and digest != code.today(stage):
            made = path.parent if path.name == "record.json" else path.with_name(path.name.removesuffix(".record.json"))
            yield f"{made}: made by an earlier version of {stage}; kept. To make it again: your command with --forcerun {path}; all such: code_changes: rebuild"
