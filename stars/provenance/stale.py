"""Results made by an older version of the code where this only warns: trainings, including protocols that train, and
their inputs.

A reworded comment must not cost days on a GPU, be it in a training stage or in a stage before it.
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
    """Whether a clip store exists and was made from these raw files, which may then be deleted."""
    try:
        record = json.loads((clips / "record.json").read_text(encoding="utf-8"))
        # a folder is not an input: clips.csv lists its files
        read = record["inputs"].get("raw") or record["notes"]["raw"]
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
            yield (
                f"{made}: made by an earlier version of {stage}; kept unless settings or inputs changed. To rebuild it,"
                f" add --forcerun {path} to your command; to rebuild all such results, set code_changes: rebuild"
            )
