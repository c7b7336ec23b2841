"""Are files what their records say, and were results made from what there is now?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from stars import shipped
from stars.provenance.files import sha256
from stars.provenance.lineage import Record


class Files(dict[Path, str | None]):
    """File, from the project's folder → its sha256 now, read once; None where it is gone. Published numbers that a results folder was copied without
    are this installation's."""

    def __init__(self, project: Path):
        self.project = project

    def __missing__(self, path: Path) -> str | None:
        there = next((home / path for home in (self.project, shipped.FOLDER) if (home / path).is_file()), None)
        self[path] = sha256(there) if there else None
        return self[path]


def outputs(record: Record, files: Files) -> Iterator[tuple[Path, bool]]:
    """The files of a record that are not what it says, each with whether it is gone."""
    for path, noted in record.outputs.items():
        if files[path] != noted:
            yield path, files[path] is None


def inputs(record: Record, makers: Mapping[Path, Record], files: Files) -> Iterator[tuple[Path, bool]]:
    """The files that a result was made from and that are others by now, each with whether it is gone.

    Inputs that have a record are compared with that: a file that was changed by hand is named once, where it stands.
    """
    for path, noted in record.inputs.items():
        found = makers[path].outputs[path] if path in makers else files[path]
        if found != noted:
            yield path, found is None
