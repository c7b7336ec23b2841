"""results/ledger: the numbers and the origin of every evaluation, in files that are never overwritten.

A rebuild replaces metrics.json, but the ledger keeps its numbers. No rule declares these files, so Snakemake neither
deletes nor expects them.
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
        time: start, UTC.
        place: its folder, relative to the results folder.
        metrics: its metrics.json.
        stages: place → stage, settings, source and files' sha256, for itself and all its inputs.
        given: external file → sha256.
    """

    time: str
    place: str
    metrics: Mapping[str, Any]
    stages: Mapping[str, Mapping[str, Any]]
    given: Mapping[str, str]

    @classmethod
    def read(cls, path: Path) -> Entry:
        """Read the entry in file `path`; InputError unless it has exactly the bytes that `add` wrote."""
        try:
            text = path.read_text(encoding="utf-8")
            content = json.loads(text)
            if json_text(content) == text and content["seal"] == seal(content):
                return cls(content["time"], content["place"], content["metrics"], content["stages"], content["given"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            pass
        raise InputError(
            f"{path}: the ledger's entry was changed or is damaged: restore it, or delete it and lose its numbers"
        )


def add(out: Path, record: Mapping[str, Any]) -> None:
    """Write the entry of the evaluation in folder `out` with this record; no entry outside a results folder."""
    if RESULTS not in out.parts:
        return
    root = Path(*out.parts[: len(out.parts) - out.parts[::-1].index(RESULTS)])
    own = Record(Path(RESULTS) / out.relative_to(root) / "record.json", record, {}, _inputs(record))
    records, given = behind(root.parent, own.inputs)
    content: dict[str, Any] = {
        "time": record["started"],
        "place": own.place,
        "metrics": read_json(out / METRICS),
        "stages": {one.place: _facts(one) for one in (own, *(records[path] for path in sorted(records)))},
        "given": {path.as_posix(): given[path] for path in sorted(given)},
    }
    write_once(root / FOLDER / name(record), json_text({**content, "seal": seal(content)}))


def name(record: Mapping[str, Any]) -> str:
    """File name of a record's entry: start of the evaluation, and the record's seal."""
    moment = record["started"].split("+")[0].replace("-", "").replace(":", "")
    return f"{moment}Z_{record['seal'][:16]}.json"


def files(results: Path) -> list[Path]:
    """Files of all entries, oldest first."""
    return sorted((results / FOLDER).glob("[!.]*"))


def is_entry(path: Path) -> bool:
    """Whether the file is an entry, as `add` wrote it."""
    try:
        Entry.read(path)
    except InputError:
        return False
    return True


def entries(results: Path) -> Iterator[Entry]:
    """All entries, oldest first; InputError for a damaged one."""
    return (Entry.read(path) for path in files(results))


def _inputs(record: Mapping[str, Any]) -> dict[Path, str]:
    return {Path(entry["path"]): entry["sha256"] for entry in record["inputs"].values()}


def _facts(record: Record) -> dict[str, Any]:
    content = record.told
    files = {name: entry["sha256"] for name, entry in content["outputs"].items()}
    return {
        "stage": content["stage"],
        "settings": content["settings"],
        "seed": content["seed"],
        "code": content["code"],
        "files": files,
    }
