"""results/ledger: what every evaluation measured and what it came from, a file each that is never overwritten.

A rebuild replaces metrics.json; its numbers stay here. No rule declares these files, so that Snakemake neither deletes nor expects them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stars.errors import InputError
from stars.provenance.files import json_text, read_json, write_once
from stars.provenance.lineage import RESULTS, Record, behind, seal

FOLDER, METRICS = "ledger", "metrics.json"


@dataclass(frozen=True)
class Entry:
    """One evaluation.

    Attributes:
        time: when it began, UTC.
        place: its folder, from the results folder.
        metrics: its metrics.json.
        stages: place → stage, settings, source and files' sha256, of itself and of everything that it was made from.
        given: file from outside → sha256.
    """

    time: str
    place: str
    metrics: Mapping[str, Any]
    stages: Mapping[str, Mapping[str, Any]]
    given: Mapping[str, str]

    @classmethod
    def read(cls, path: Path) -> Entry:
        """The entry in file `path`; InputError where it is not what `add` wrote, to the byte."""
        try:
            text = path.read_text(encoding="utf-8")
            told = json.loads(text)
            if json_text(told) == text and told["seal"] == seal(told):
                return cls(told["time"], told["place"], told["metrics"], told["stages"], told["given"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            pass
        raise InputError(
            f"{path}: the ledger's entry was changed or is damaged: restore it, or delete it knowing that its numbers are lost"
        )


def add(out: Path, record: Mapping[str, Any]) -> None:
    """Write the entry of an evaluation in folder `out` that this record will stand beside; none outside of a results folder."""
    if RESULTS not in out.parts:
        return
    root = Path(*out.parts[: len(out.parts) - out.parts[::-1].index(RESULTS)])
    own = Record(Path(RESULTS) / out.relative_to(root) / "record.json", record, {}, _inputs(record))
    records, given = behind(root.parent, own.inputs)
    told: dict[str, Any] = {
        "time": record["started"],
        "place": own.place,
        "metrics": read_json(out / METRICS),
        "stages": {one.place: _facts(one) for one in (own, *(records[path] for path in sorted(records)))},
        "given": {path.as_posix(): given[path] for path in sorted(given)},
    }
    write_once(root / FOLDER / name(record), json_text({**told, "seal": seal(told)}))


def name(record: Mapping[str, Any]) -> str:
    """File of a record's entry: when the evaluation began, and the record's seal."""
    moment = record["started"].split("+")[0].replace("-", "").replace(":", "")
    return f"{moment}Z_{record['seal'][:16]}.json"


def files(results: Path) -> list[Path]:
    """Every entry's file, the oldest first."""
    return sorted((results / FOLDER).glob("[!.]*"))


def is_entry(path: Path) -> bool:
    """Whether the file is an entry, as `add` wrote it."""
    try:
        Entry.read(path)
    except InputError:
        return False
    return True


def entries(results: Path) -> Iterator[Entry]:
    """Every entry, the oldest first; InputError for a damaged one."""
    return (Entry.read(path) for path in files(results))


def _inputs(record: Mapping[str, Any]) -> dict[Path, str]:
    return {Path(entry["path"]): entry["sha256"] for entry in record["inputs"].values()}


def _facts(record: Record) -> dict[str, Any]:
    told = record.told
    files = {name: entry["sha256"] for name, entry in told["outputs"].items()}
    return {"stage": told["stage"], "settings": told["settings"], "seed": told["seed"], "code": told["code"], "files": files}
