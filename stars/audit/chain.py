"""Checks a result and everything behind it against records."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from stars.audit.pack import left_out
from stars.paper import recount
from stars.provenance import intact
from stars.provenance.lineage import MANIFEST, PATTERN, Lineage, Record


@dataclass(frozen=True)
class Found:
    """Result of checking files against their records.

    Attributes:
        files: number of files checked.
        cell: whether a table's cell was recomputed.
        faults: one phrase per difference.
        absent: files missing from the archive, which cannot be checked.
    """

    files: int
    cell: bool
    faults: tuple[str, ...]
    absent: tuple[Path, ...]

    def lines(self) -> Iterator[str]:
        """Lines, with the verdict first."""
        if self.faults:
            yield f"NOT AS RECORDED: {self.faults[0]}"
            yield from (f"  and {fault}" for fault in self.faults[1:])
        else:
            words = "the cell is what its results give, and " if self.cell else ""
            left = f"; not here, so not checked: {', '.join(map(str, self.absent))}" if self.absent else ""
            yield f"as recorded: {words}{self.files} files match their records{left}"


def check(lineage: Lineage, results: Path, paths: Sequence[Path], row: Mapping[str, str] | None = None) -> Found:
    """Check a result and the files behind it against their records.

    Args:
        results: the results folder.
        paths: the result, then the files behind it, relative as in `lineage`.
        row: the csv's line of a cell, if the result is a table; None: no cell is recomputed.
    """
    origins, files = lineage.origins(), intact.Files(lineage.project)
    packed = set(left_out(results)) if (results / MANIFEST).is_file() else set()
    absent = tuple(path for path in paths if path in packed and files[path] is None)
    looked = [path for path in paths if path in origins and path not in absent]
    faults = [
        *_changed(lineage, results, paths, looked, files),
        *(_cell(origins.get(paths[0]), row, files) if row else ()),
    ]
    return Found(len(looked), row is not None, tuple(faults), absent)


def _changed(
    lineage: Lineage, results: Path, paths: Sequence[Path], looked: Sequence[Path], files: intact.Files
) -> Iterator[str]:
    makers, origins = lineage.makers(), lineage.origins()
    folders = {path.parent for path in paths}
    yield from (line for line in lineage.damaged if Path(line.partition(": ")[0]).parent in folders)
    for path in paths:
        if path in origins or path.parts[0] != results.name:
            continue
        if not path.match(PATTERN):
            yield f"{path}: no record describes how it was made"
        elif files[path] is None:
            yield f"{path}: the record is gone"
    for record in dict.fromkeys(origins[path] for path in looked):
        for path, gone in intact.outputs(record, files):
            if path in looked:
                yield (
                    f"{path} is gone, although {record.path} lists it"
                    if gone
                    else f"{path} differs from {record.path}: it was changed"
                )
        for path, _ in intact.inputs(record, makers, files):
            if path in origins:
                yield f"{record.path} was made from another version of {path}"


def _cell(record: Record | None, row: Mapping[str, str], files: intact.Files) -> Iterator[str]:
    place = tuple(row[name] for name in recount.PLACE)
    for table, one in recount.of_record(record, files) if record else ():
        if isinstance(one, str) or one.place == place:
            yield f"{table}: {one}"
