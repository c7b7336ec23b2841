"""Which results were made by an older version of the code, where the configuration says that this only warns."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from stars.provenance import code

TRAINING = ("stars.training.pretrain", "stars.training.tune")


def warnings(results: Path) -> Iterator[str]:
    """A line for every trained method under `results` whose stage's source differs from today's."""
    for path in sorted(results.glob("*_*/*/record.json")):
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            stage, digest = record["stage"], record["code"]["digest"]
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if stage in TRAINING and digest != code.digest_of(stage):
            yield (
                f"{path.parent}: trained by an earlier version of {stage}; kept. To train again: delete the folder, or set code_changes: rebuild"
            )
