"""The configuration with which results were made: Snakemake options that reproduce the settings of their records."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import chdir
from pathlib import Path

from stars.audit import current
from stars.errors import InputError
from stars.jobs.journal import Run
from stars.pipeline import configuration
from stars.provenance.lineage import RESULTS, Record

DEFAULT = "config/config.yaml"


def made_with(results: Path, records: Sequence[Record]) -> list[str] | None:
    """Options of `snakemake` in the project's folder under which the jobs of these records have the settings of the
    records.

    Give the records of everything behind a result, since Snakemake also rebuilds what has other settings. Results made
    by hand are ignored. Tries the default configuration, that of the newest run, and each file in config/; None if none
    of them fits.
    """
    if results.name != RESULTS:
        return None
    records = [record for record in records if not current.made_by_hand(Path(*record.path.parts[1:]))]
    with chdir(results.parent):
        return next((_options(*given) for given in _candidates() if _fits(*given, records)), None)


def _candidates() -> Iterator[tuple[list[str], list[str]]]:
    """Configuration files, and KEY=VALUE overrides."""
    yield [], []
    try:
        run = Run.read()
        yield run.configfile, run.config
    except (InputError, OSError, ValueError, KeyError, TypeError):  # no run, or an unreadable journal
        pass
    yield from (([str(path)], []) for path in sorted(Path("config").glob("*.yaml")))


def _options(files: Sequence[str], overrides: Sequence[str]) -> list[str]:
    return [*(["--configfile", *files] if files else []), *(["--config", *overrides] if overrides else [])]


def _fits(files: Sequence[str], overrides: Sequence[str], records: Sequence[Record]) -> bool:
    try:
        config = configuration.load_file("+".join(files) or DEFAULT, list(overrides))
        return all(
            current.settings(config, Path(*record.path.parts[1:])) == record.told["settings"] for record in records
        )
    except InputError:
        return False
