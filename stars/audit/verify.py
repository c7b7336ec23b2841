"""Verifies an archive: completeness, tables against predictions, and predictions against features."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from stars.audit import predictions, rerun, signature
from stars.audit.check import audit
from stars.paper import recount
from stars.provenance import code, intact
from stars.provenance.files import sha256
from stars.provenance.ledger import METRICS
from stars.provenance.lineage import Lineage, Record, result_files

OWN = ("this run", "difference", "p-value")  # origins of recomputed cells


@dataclass(frozen=True)
class Verdict:
    """Five lines, and one phrase per problem."""

    lines: tuple[str, ...]
    findings: tuple[str, ...]

    @property
    def good(self) -> bool:
        return not self.findings


def verify(results: Path, archive: Path, signers: Path | None = None) -> Verdict:
    """Verify an unpacked archive.

    Args:
        results: the unpacked results folder; archive: its file, or that folder.
        signers: allowed signers (`stars.audit.signature`).

    Raises:
        InputError: the manifest is missing or was changed.
    """
    lineage = Lineage.read(results)
    if strays := list(_strays(lineage)):
        return Verdict(("verdict   NOT VERIFIED: a record names files outside of the results",), tuple(strays))
    good, signed = signature.check(results, signers)
    tables, tables_differ = _tables(lineage)
    whole = [line for line in audit(results, packed=True) if line not in tables_differ]
    runs, left, runs_differ = _runs(lineage)
    findings = (*(() if good else (signed,)), *whole, *tables_differ, *runs_differ)
    digest = f", sha256 {sha256(archive)}" if archive.is_file() else ""
    files = sum(1 for _ in result_files(results))
    lines = (
        f"archive   {archive}{digest}; {signed}",
        (
            f"records   {files} files, {len(lineage.records)} records:"
            f" {_count(whole, 'all match the records and the manifest')}"
        ),
        f"tables    {tables}: {_count(tables_differ, 'all follow from the predictions')}",
        f"re-run    {runs}: {_count(runs_differ, 'the same numbers and predictions')}{left}",
        "verdict   "
        + (
            f"NOT VERIFIED, {len(findings)} finding{'s' * (len(findings) > 1)}"
            if findings
            else "VERIFIED; training was not run again"
        ),
    )
    return Verdict(lines, findings)


def _count(differ: Sequence[str], fine: str) -> str:
    return f"{len(differ)} differ" if differ else fine


def _strays(lineage: Lineage) -> Iterator[str]:
    """Records that name files outside the results, which must not be opened."""
    for record in lineage.records:
        made = {path for path in record.outputs if ".." in path.parts or path.is_absolute()}
        read = {path for path in record.inputs if ".." in path.parts}
        if named := made | read:
            yield f"{record.path} names {min(named)}, which lies outside of the results"


def _tables(lineage: Lineage) -> tuple[str, list[str]]:
    """Number of cells, and differences: first metrics from predictions, then cells from metrics."""
    files = intact.Files(lineage.project)
    found: list[str] = []
    evaluations = [record for record in lineage.records if record.path.parent / METRICS in record.outputs]
    for record in evaluations:
        found += predictions.differing(record, lineage.project)
    tables = [record for record in lineage.records if record.stage in recount.STAGES]
    for record in tables:
        found += [f"{path}: {one}" for path, one in recount.of_record(record, files)]
        if record.told["code"]["digest"] == code.today(record.stage):
            found += recount.other_forms(record, files)
    cells = sum(_cells(lineage.project / path) for record in tables for path in record.outputs if path.suffix == ".csv")
    return f"{cells} cells of {len(tables)} tables, {len(evaluations)} evaluations", found


def _cells(table: Path) -> int:
    """Number of this run's cells with a value."""
    try:
        with table.open(encoding="utf-8", newline="") as file:
            return sum(row.get("origin") in OWN and bool(row.get("value")) for row in csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error):
        return 0


def _runs(lineage: Lineage) -> tuple[str, str, list[str]]:
    """Number of evaluations run again, those that could not be, and differences."""
    every = [record for record in lineage.records if record.stage == rerun.STAGE]
    possible = [record for record in every if not rerun.lacking(record, lineage.project)]
    found = [phrase for record in possible for phrase in rerun.differing(record, lineage.project)]
    left = ", ".join(sorted(_place(record) for record in every if record not in possible))
    return f"KNN of {len(possible)} from features", f"; without its features, left out: {left}" if left else "", found


def _place(record: Record) -> str:
    return "/".join(record.path.parent.parts[1:-1])
