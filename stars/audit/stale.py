"""Finds out-of-date results from records only, within a second. (`stars changes` runs Snakemake, and `stars audit`
reads every file.)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from stars.audit import current
from stars.config import Config
from stars.program import program
from stars.provenance import code
from stars.provenance.changes import in_words
from stars.provenance.lineage import Lineage, Record
from stars.provenance.stale import KEPT

SOURCE = "its source code has changed"
SHOWN, NAMED = 4, 2  # results with their own line; settings listed in a line


@dataclass(frozen=True)
class Stale:
    """Results that a run with this configuration would rebuild.

    Attributes:
        why: result, relative to the results folder → reason.
        following: results that depend on these.
        damaged: records that cannot be read.
    """

    why: dict[str, str]
    following: tuple[str, ...]
    damaged: int

    def lines(self) -> Iterator[str]:
        """One line for each of the first few, then the number of others."""
        for place in list(self.why)[:SHOWN]:
            yield f"{place}: {self.why[place]}"
        if left := len(self.why) - SHOWN:
            yield from [f"and {left} more"] if left > 0 else []
        if self.following:
            yield f"and {len(self.following)} results made from these"
        if self.damaged:
            yield f"{self.damaged} records are damaged: `{program('stars')} audit` lists them"


def stale(results: Path, config: Config) -> Stale:
    """Find out-of-date results below folder `results`, ignoring those of other configurations."""
    lineage = Lineage.read(results)
    found = {record: words for record in lineage.records if (words := _why(record, lineage.project, config))}
    why = dict(sorted(found.items(), key=lambda entry: entry[1] == SOURCE))  # changed settings first
    outputs = {path for record in why for path in record.outputs}
    following: list[Record] = []
    while more := [
        record
        for record in lineage.records
        if record not in why and record not in following and outputs & record.inputs.keys()
    ]:
        following += more
        outputs |= {path for record in more for path in record.outputs}
    places = tuple(record.place for record in following)
    return Stale({record.place: words for record, words in why.items()}, places, len(lineage.damaged))


def _why(record: Record, project: Path, config: Config) -> str:
    """Why a result would be rebuilt; "" if it is up to date."""
    place = Path(*record.path.parts[1:])
    expected = None if current.made_by_hand(place) else current.settings(config, place)
    if expected is None:
        return ""
    if expected != record.told["settings"]:
        older = current.completed(record.told["settings"], expected)
        if older != expected:
            words = in_words(older or record.told["settings"], expected)
            return ", ".join(words[:NAMED]) + (f" and {len(words) - NAMED} more" if len(words) > NAMED else "")
    if gone := [path for path in record.outputs if not (project / path).is_file()]:
        return f"{gone[0].name} is missing"
    policy = config.code_changes or ("warn" if record.stage.split("+")[0] in KEPT else "rebuild")
    if policy == "rebuild" and record.told["code"]["digest"] != code.today(record.stage):
        return SOURCE
    return ""
