"""Does a results folder hold what its records say, made by what there is today?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from stars.audit import current
from stars.audit.pack import differences, read_manifest
from stars.config import Config
from stars.errors import InputError
from stars.paper import recount
from stars.pipeline.resolve import HOME
from stars.provenance import code, ledger
from stars.provenance.changes import changed_source, in_words
from stars.provenance.files import sha256
from stars.provenance.lineage import PATTERN, Lineage, Record, again, result_files

TABLES = ("stars.paper.tables",)
NAMED = 4  # differing settings that a line names


def audit(results: Path, packed: bool = False, configs: Sequence[Config] = ()) -> Iterator[str]:
    """A line for everything that is not as it should be.

    Files that differ from their record or are gone; records that were changed; results made from inputs that have changed since, by source
    that has changed since, or by settings other than those of today; cells of tables that are not what the results say; files that no
    record speaks of. Entries of the ledger that were changed or are gone.

    Args:
        packed: the folder was unpacked from an archive of `stars pack`: compare it with the manifest too, and ask neither for what the
            archive left out, nor for files beside the results, nor for the source and configuration of today.
        configs: a result must be as one of these would make it; none given: settings are not compared.
    """
    lineage = Lineage.read(results)
    yield from lineage.damaged
    if packed:
        yield from differences(results)
    absent = {Path(name) for name in read_manifest(results)["left_out"]} if packed else set()
    files = _Files(lineage.project)
    makers = lineage.makers()
    for record in lineage.records:
        yield from _outputs(record, files, absent, packed)
        yield from _inputs(record, makers, files, packed)
        yield from _cells(record, lineage.project, files)
        if not packed:
            yield from _source(record)
            yield from _settings(record, configs)
    yield from _ledger(lineage, results)
    for path in result_files(results):
        if path not in makers and not path.match(PATTERN) and path.parts[1] != ledger.FOLDER:
            yield f"{path}: no record says what made it; delete it, or run the workflow again"


class _Files(dict[Path, str | None]):
    """File, from the project's folder → its sha256 now, read once; None where it is gone."""

    def __init__(self, project: Path):
        self.project = project

    def __missing__(self, path: Path) -> str | None:
        there = self.project / path
        self[path] = sha256(there) if there.is_file() else None
        return self[path]


def _outputs(record: Record, files: _Files, absent: set[Path], packed: bool) -> Iterator[str]:
    for path, noted in record.outputs.items():
        if files[path] is None and path not in absent:
            yield f"{path}: gone; {_mended(record, path, packed)}"
        elif files[path] not in (None, noted):
            yield f"{path}: its bytes differ from its record; {_mended(record, path, packed)}"


def _mended(record: Record, path: Path, packed: bool) -> str:
    if packed:
        return "unpack the archive again"
    by_hand = current.made_by_hand(Path(*record.path.parts[1:]))
    return "restore the file, or make it again by hand" if by_hand else again(path)


def _inputs(record: Record, makers: dict[Path, Record], files: _Files, packed: bool) -> Iterator[str]:
    """A result's inputs are compared with the record that made them: a file that was changed by hand is named once, where it stands."""
    for path, noted in record.inputs.items():
        found = makers[path].outputs[path] if path in makers else files[path]
        if found is None and not packed:
            yield f"{record.path}: made from {path}, which is gone; restore it, or run the workflow again"
        elif found not in (None, noted):
            yield f"{record.path}: made from another version of {path}; run the workflow again"


def _source(record: Record) -> Iterator[str]:
    if record.told["code"]["digest"] != code.today(record.stage):
        now = {"digest": "", "modules": code.parts_of(record.stage)} if code.today(record.stage) else {"digest": ""}
        (words,) = changed_source(record.told["code"], now)
        yield f"{record.path}: made by an earlier version of {record.stage} ({words}); make it again, or keep it knowing that"


def _settings(record: Record, configs: Sequence[Config]) -> Iterator[str]:
    place = Path(*record.path.parts[1:])
    if not configs or current.made_by_hand(place):
        return
    told = [one for one in (current.settings(config, place) for config in configs) if one is not None]
    if not told:
        yield f"{record.path}: the configuration has no such job any more; delete the result, or name its configuration with --config"
    elif record.told["settings"] not in told:
        older = current.completed(record.told["settings"], told[0])
        if older in told:
            return
        words = in_words(older or record.told["settings"], told[0])
        more = f" and {len(words) - NAMED} more" if len(words) > NAMED else ""
        since = "" if older is None else " (what it does not say is as in `preset: legacy`)"
        yield f"{record.path}: made with other settings than today's{since}: {', '.join(words[:NAMED])}{more}; run the workflow again"


def _ledger(lineage: Lineage, results: Path) -> Iterator[str]:
    """Entries that are not as they were written, and evaluations without one."""
    paths = ledger.files(results)
    for path in paths:
        try:
            ledger.Entry.read(path)
        except InputError as error:
            yield str(error).replace(str(results), results.name, 1)
    there = {path.name for path in paths}
    for record in lineage.records:
        if record.path.parent / ledger.METRICS in record.outputs and ledger.name(record.told) not in there:
            yield f"{record.path}: its numbers are not in the ledger; restore {ledger.name(record.told)}, or run the workflow again"


def _cells(record: Record, project: Path, files: _Files) -> Iterator[str]:
    """Cells of a table that its results do not give. The published numbers are the project's, or this installation's where it has none."""
    table = next((path for path in record.outputs if path.suffix == ".csv"), None)
    if record.stage not in TABLES or table is None or files[table] is None:
        return
    read = {role: Path(entry["path"]) for role, entry in record.told["inputs"].items()}
    text = (project / table).read_text(encoding="utf-8", errors="replace")
    folder = next((home / read["published"].parent for home in (project, HOME) if (home / read["published"]).is_file()), project)
    try:
        yield from (f"{table}: {phrase}" for phrase in recount.differing(text, record.told["settings"], read, project, folder))
    except InputError as error:
        yield f"{table}: its cells cannot be worked out again: {error}"
