"""Does a results folder hold what its records say, made by what there is today?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from stars.pack import differences, read_manifest
from stars.provenance import code
from stars.provenance.files import sha256
from stars.provenance.lineage import PATTERN, Lineage, Record, result_files


def audit(results: Path, packed: bool = False) -> Iterator[str]:
    """A line for everything that is not as it should be.

    Files that differ from their record or are gone, records that were changed, results made from inputs that have changed since or by
    source that has changed since, and files that no record speaks of.

    Args:
        packed: the folder was unpacked from an archive of `stars pack`: compare it with the manifest too, and ask neither for what the
            archive left out, nor for files beside the results, nor for the source of today.
    """
    lineage = Lineage.read(results)
    yield from lineage.damaged
    if packed:
        yield from differences(results)
    absent = {Path(name) for name in read_manifest(results)["left_out"]} if packed else set()
    files = _Files(lineage.project)
    makers = lineage.makers()
    for record in lineage.records:
        yield from _outputs(record, files, absent)
        yield from _inputs(record, makers, files, packed)
        if not packed and record.told["code"]["digest"] != code.digest_of(record.stage):
            yield f"{record.path}: made by an earlier version of {record.stage}; make it again, or keep it knowing that"
    for path in result_files(results):
        if path not in makers and not path.match(PATTERN):
            yield f"{path}: no record says what made it; delete it, or run the workflow again"


class _Files(dict[Path, str | None]):
    """File, from the project's folder → its sha256 now, read once; None where it is gone."""

    def __init__(self, project: Path):
        self.project = project

    def __missing__(self, path: Path) -> str | None:
        there = self.project / path
        self[path] = sha256(there) if there.is_file() else None
        return self[path]


def _outputs(record: Record, files: _Files, absent: set[Path]) -> Iterator[str]:
    for path, expected in record.outputs.items():
        if files[path] is None and path not in absent:
            yield f"{path}: gone; run the workflow again, or restore the file"
        elif files[path] not in (None, expected):
            yield f"{path}: its bytes differ from its record; run the workflow again, or restore the file"


def _inputs(record: Record, makers: dict[Path, Record], files: _Files, packed: bool) -> Iterator[str]:
    """A result's inputs are compared with the record that made them: a file that was changed by hand is named once, where it stands."""
    for path, expected in record.inputs.items():
        found = makers[path].outputs[path] if path in makers else files[path]
        if found is None and not packed:
            yield f"{record.path}: made from {path}, which is gone; restore it, or run the workflow again"
        elif found not in (None, expected):
            yield f"{record.path}: made from another version of {path}; run the workflow again"
