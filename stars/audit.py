"""Does a results folder hold what its records say, made by what there is today?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from stars.errors import InputError
from stars.provenance import code
from stars.provenance.files import sha256
from stars.provenance.lineage import PATTERN, Lineage, result_files


def audit(results: Path) -> Iterator[str]:
    """A line for everything that is not as it should be.

    Files that differ from their record or are gone, records that were changed, results made from inputs that have changed since or by
    source that has changed since, and files that no record speaks of.
    """
    lineage = Lineage.read(results)
    yield from lineage.damaged
    found: dict[Path, str | None] = {}

    def now(path: Path) -> str | None:
        """sha256 of a file, read once; None where it is gone."""
        if path not in found:
            try:
                found[path] = sha256(lineage.project / path)
            except InputError:
                found[path] = None
        return found[path]

    makers = lineage.makers()
    for record in lineage.records:
        for path, expected in record.outputs.items():
            if now(path) != expected:
                yield f"{path}: {'gone' if now(path) is None else 'its bytes differ from its record'}; run the workflow again, or restore the file"
        for path, expected in record.inputs.items():
            told = makers[path].outputs[path] if path in makers else now(path)
            if told != expected:
                yield f"{record.path}: made from {'a file that is gone' if told is None else 'another version of'} {path}; run the workflow again"
        if record.told["code"]["digest"] != code.digest_of(record.stage):
            yield f"{record.path}: made by an earlier version of {record.stage}; make it again, or keep it knowing that"
    for path in result_files(results):
        if path not in makers and not path.match(PATTERN):
            yield f"{path}: no record says what made it; delete it, or run the workflow again"
