"""Checks that files match their records, and that results were made from current files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from stars import shipped
from stars.provenance.files import sha256
from stars.provenance.lineage import Record


class Files(dict[Path, str | None]):
    """File, relative to the project's folder → its current sha256, computed once; None if missing. Missing published
    numbers are taken from this installation."""

    def __init__(self, project: Path):
        self.project = project

    def __missing__(self, path: Path) -> str | None:
        there = next((home / path for home in (self.project, shipped.FOLDER) if (home / path).is_file()), None)
        self[path] = sha256(there) if there else None
        return self[path]


def outputs(record: Record, files: Files) -> Iterator[tuple[Path, bool]]:
    """Outputs that differ from their record, each with whether it is missing."""
    for path, noted in record.outputs.items():
        if files[path] != noted:
            yield path, files[path] is None


def inputs(record: Record, makers: Mapping[Path, Record], files: Files) -> Iterator[tuple[Path, bool]]:
    """Inputs of a result that have changed since, each with whether it is missing.

    Inputs with a record are compared with it, so a file changed by hand is reported only once.
    """
    for path, noted in record.inputs.items():
        found = makers[path].outputs[path] if path in makers else files[path]
        if found != noted:
            yield path, found is None
