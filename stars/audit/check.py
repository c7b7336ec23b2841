"""Checks a results folder against its records, today's source and configuration."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from stars.audit import current
from stars.audit.pack import differences, left_out
from stars.config import Config
from stars.errors import InputError
from stars.paper import recount
from stars.provenance import code, intact, ledger
from stars.provenance.changes import changed_source, in_words
from stars.provenance.lineage import PATTERN, Lineage, Record, again, result_files

NAMED = 4  # differing settings listed in a line


def audit(results: Path, packed: bool = False, configs: Sequence[Config] = ()) -> Iterator[str]:
    """One line for each problem.

    Problems are: files that differ from their record or are missing; changed records; results from inputs, source or
    settings that have changed since; wrong cells of tables; files without a record; changed or missing entries of the
    ledger.

    Args:
        packed: the folder was unpacked from an archive of `stars pack`: also compare it with the manifest, and ignore
            files that the archive omits, files outside the results, and today's source and configuration.
        configs: each result must match one of these; empty: settings are not compared.
    """
    lineage = Lineage.read(results)
    yield from lineage.damaged
    if packed:
        yield from differences(results)
    absent = set(left_out(results)) if packed else set()
    files = intact.Files(lineage.project)
    makers = lineage.makers()
    for record in lineage.records:
        yield from _outputs(record, files, absent, packed)
        yield from _inputs(record, makers, files, results, packed)
        yield from (f"{path}: {phrase}" for path, phrase in recount.of_record(record, files))
        if not packed:
            yield from _source(record)
            yield from _settings(record, configs)
    yield from _ledger(lineage, results)
    for path in result_files(results):
        if path not in makers and not path.match(PATTERN) and path.parts[1] != ledger.FOLDER:
            yield f"{path}: no record describes how it was made; delete it, or run the workflow again"


def _outputs(record: Record, files: intact.Files, absent: set[Path], packed: bool) -> Iterator[str]:
    for path, gone in intact.outputs(record, files):
        if not gone:
            yield f"{path}: its bytes differ from its record; {_mended(record, path, packed)}"
        elif path not in absent:
            yield f"{path}: gone; {_mended(record, path, packed)}"


def _mended(record: Record, path: Path, packed: bool) -> str:
    if packed:
        return "unpack the archive again"
    by_hand = current.made_by_hand(Path(*record.path.parts[1:]))
    return "restore the file, or make it again by hand" if by_hand else again(path)


def _inputs(
    record: Record, makers: dict[Path, Record], files: intact.Files, results: Path, packed: bool
) -> Iterator[str]:
    for path, gone in intact.inputs(record, makers, files):
        if packed and (gone or path.parts[0] != results.name):  # it was not packed, or was outside the results
            continue
        if gone:
            yield f"{record.path}: made from {path}, which is gone; restore it, or run the workflow again"
        else:
            yield f"{record.path}: made from another version of {path}; run the workflow again"


def _source(record: Record) -> Iterator[str]:
    if record.told["code"]["digest"] != code.today(record.stage):
        now = {"digest": "", "modules": code.parts_of(record.stage)} if code.today(record.stage) else {"digest": ""}
        (words,) = changed_source(record.told["code"], now)
        yield (
            f"{record.path}: made by an earlier version of {record.stage} ({words}); make it again, or keep it knowing"
            " that"
        )


def _settings(record: Record, configs: Sequence[Config]) -> Iterator[str]:
    place = Path(*record.path.parts[1:])
    if not configs or current.made_by_hand(place):
        return
    expected = [one for one in (current.settings(config, place) for config in configs) if one is not None]
    if not expected:
        yield (
            f"{record.path}: the configuration has no such job any more; delete the result, or name its configuration"
            " with --config"
        )
    elif record.told["settings"] not in expected:
        older = current.completed(record.told["settings"], expected[0])
        if older in expected:
            return
        words = in_words(older or record.told["settings"], expected[0])
        more = f" and {len(words) - NAMED} more" if len(words) > NAMED else ""
        since = "" if older is None else " (what it does not say is as in `preset: legacy`)"
        yield (
            f"{record.path}: made with other settings than today's{since}: {', '.join(words[:NAMED])}{more}; run the"
            " workflow again"
        )


def _ledger(lineage: Lineage, results: Path) -> Iterator[str]:
    """Changed entries, and evaluations without an entry."""
    paths = ledger.files(results)
    for path in paths:
        try:
            ledger.Entry.read(path)
        except InputError as error:
            yield str(error).replace(str(results), results.name, 1)
    there = {path.name for path in paths}
    for record in lineage.records:
        if record.path.parent / ledger.METRICS in record.outputs and ledger.name(record.told) not in there:
            yield (
                f"{record.path}: its numbers are not in the ledger; restore {ledger.name(record.told)}, or run the"
                " workflow again"
            )
