"""The records of a results folder as a graph from raw files to tables."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stars.errors import InputError
from stars.program import program
from stars.provenance.files import digest, json_text

PATTERN = "*record.json"
RESULTS = "results"  # the folder's name in a project
WEIGHTS = ".safetensors"
MANIFEST, SIGNATURE = "MANIFEST.json", "MANIFEST.json.sig"  # of an archive
NOT_RESULTS = ("logs", "benchmarks", "README.md", MANIFEST, SIGNATURE)  # content of a results folder without a record
# How a record's files were made; with its stage and source, the keys that it must have besides inputs, outputs, seal.
MADE = ("settings", "seed", "command", "versions", "hardware", "slurm_job", "started", "wall_seconds", "peak_memory_mb")
FIELDS = frozenset(("stage", "code", *MADE))


@dataclass(frozen=True, eq=False)
class Record:
    """One record.

    Attributes:
        path: of the record, relative to the project's folder, as all paths here.
        told: its content.
        outputs, inputs: file → sha256.
        results: its results folder, by its current name.
    """

    path: Path
    told: Mapping[str, Any]
    outputs: Mapping[Path, str]
    inputs: Mapping[Path, str]
    results: Path = Path(RESULTS)

    @property
    def stage(self) -> str:
        """Module of the stage."""
        return self.told["stage"]

    @classmethod
    def read(cls, project: Path, path: Path, results: Path = Path(RESULTS)) -> Record:
        """Read the record in file `path` of folder `project`; InputError unless it has exactly the bytes that
        `recording` wrote.

        Args:
            results: current path of the results folder, from `project`. Records call it `results`, as the workflow
                does.
        """
        try:
            text = (project / path).read_text(encoding="utf-8")
            content = json.loads(text)
            outputs = {path.parent / name: entry["sha256"] for name, entry in content["outputs"].items()}
            inputs = {renamed(entry["path"], results): entry["sha256"] for entry in content["inputs"].values()}
            whole = json_text(content) == text and content["seal"] == seal(content) and content.keys() >= FIELDS
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            whole = False
        if not whole:
            raise InputError(f"{path}: the record was changed or is damaged: delete its result and run again")
        return cls(path, content, outputs, inputs, results)

    @property
    def place(self) -> str:
        """The record's result relative to the results folder: a folder, or the common part of file names
        ("demo/splits/xsub").
        """
        parts = self.path.parts
        inside = parts[len(parts) - parts[::-1].index(RESULTS) :] if RESULTS in parts else parts[1:]
        return "/".join(inside).removesuffix("record.json").rstrip("/.")


def renamed(path: Path | str, results: Path) -> Path:
    """Translate a recorded path to the current name of the results folder."""
    path = Path(path)
    return results.joinpath(*path.parts[1:]) if path.parts[:1] == (RESULTS,) else path


def as_noted(path: Path) -> Path:
    """The path of a result as in records and archives, independent of the results folder's current name."""
    return Path(RESULTS, *path.parts[1:])


def seal(content: Mapping[str, Any]) -> str:
    """Digest of a record without its seal."""
    return digest({name: value for name, value in content.items() if name != "seal"})


@dataclass(frozen=True, eq=False)
class Lineage:
    """All records of a results folder.

    Attributes:
        project: folder that paths are relative to.
        records: valid records.
        damaged: one line for each damaged record.
    """

    project: Path
    records: tuple[Record, ...]
    damaged: tuple[str, ...]

    @classmethod
    def read(cls, results: Path) -> Lineage:
        """Read the records below folder `results`, sorted by path."""
        project, records, damaged = results.parent, [], []
        for path in result_files(results):
            if path.match(PATTERN):
                try:
                    records.append(Record.read(project, path, Path(results.name)))
                except InputError as error:
                    damaged.append(str(error))
        return cls(project, tuple(records), tuple(damaged))

    def makers(self) -> dict[Path, Record]:
        """File → the record of its origin."""
        return {output: record for record in self.records for output in record.outputs}

    def origins(self) -> dict[Path, Record]:
        """`makers`, and each record as the origin of its own file, which its seal vouches for."""
        return {record.path: record for record in self.records} | self.makers()

    def chain(self, path: Path) -> Iterator[tuple[int, Path, str, Record | None]]:
        """All inputs behind `path`, back to the raw files, each once: depth, file, sha256, and its record (None:
        external).
        """
        origins, seen = self.origins(), set()
        if path not in origins or path not in origins[path].outputs:
            raise InputError(f"{path}: no record describes its origin")
        waiting = [(0, path, origins[path].outputs[path])]
        while waiting:
            depth, file, found = waiting.pop()
            if file not in seen:
                seen.add(file)
                maker = origins.get(file)
                yield depth, file, found, maker
                waiting += [(depth + 1, *entry) for entry in reversed(list(maker.inputs.items() if maker else ()))]


def behind(project: Path, inputs: Mapping[Path, str]) -> tuple[dict[Path, Record], dict[Path, str]]:
    """The records behind files, and external files with their sha256. Reads only records next to these files.

    Args:
        project: folder that paths are relative to.
        inputs: file → sha256.
    """
    records: dict[Path, Record] = {}
    given: dict[Path, str] = {}
    waiting, seen = list(inputs.items()), set(inputs)
    while waiting:
        path, found = waiting.pop()
        maker = next(_makers(project, path), None)
        if maker is None:
            given[path] = found
        elif maker.path not in records:
            records[maker.path] = maker
            waiting += [entry for entry in maker.inputs.items() if entry[0] not in seen]
            seen |= set(maker.inputs)
    return records, given


def _makers(project: Path, path: Path) -> Iterator[Record]:
    """The records next to `path` with it as an output; several if weights were imported over those of a training."""
    for beside in sorted((project / path).parent.glob(PATTERN)):
        try:
            record = Record.read(project, path.parent / beside.name)
        except InputError:
            continue
        if path in record.outputs:
            yield record


def refuse_changed(inputs: Iterable[tuple[Path, str]]) -> None:
    """InputError for the first weights among (file, sha256) that differ from their record.

    Changed weights would go unnoticed otherwise. Clips, splits and features are validated when read, and may be changed
    on purpose.
    """
    for path, found in inputs:
        makers = list(_makers(Path(), path)) if path.suffix == WEIGHTS else []
        if makers and all(maker.outputs[path] != found for maker in makers):
            meant = f"; if the change is intended, delete {makers[-1].path}"
            raise InputError(f"{path}: its bytes differ from its record, so it is not used: {again(path)}{meant}")


def around(file: Path) -> Path | None:
    """The results folder that contains a file, under any name; None if unknown.

    It is an unpacked archive, a folder called `results`, or the one that contains the inputs of the record next to the
    file.
    """
    above = list(file.absolute().parents)
    named = [
        folder for folder in above if (folder / MANIFEST).is_file() or (folder.name == RESULTS and folder.is_dir())
    ]
    return next(iter([*named, *_by_record(file, above)]), None)


def _by_record(file: Path, above: Sequence[Path]) -> Iterator[Path]:
    for beside in sorted(file.parent.glob(PATTERN)):
        try:
            inputs = [
                path for path in Record.read(file.parent, Path(beside.name)).inputs if path.parts[:1] == (RESULTS,)
            ]
        except InputError:
            continue
        yield from (folder for folder in above if any(renamed(path, folder).is_file() for path in inputs))


def located(beside: Path, path: Path) -> Path | None:
    """Locate a file named in a record near `beside`, for any current place and name of the results folder; None if
    missing.
    """
    above = beside.resolve().parents
    places = [*(folder / path for folder in above), *(renamed(path, folder) for folder in above)]
    return next((place for place in places if place.exists()), None)


def again(path: Path) -> str:
    """How to restore a damaged result. Snakemake alone would not rebuild it, but everything that depends on it."""
    if RESULTS not in path.parts:
        return "restore the file, or make it again in its project"
    return (
        f"make it again ({program('snakemake')} --cores 1 --force -- {path}; put your --configfile before the --), or"
        " restore the file"
    )


def result_files(results: Path) -> Iterator[Path]:
    """Every result and record, relative to the project's folder, sorted, without hidden files (work in progress and
    locks).

    Follows links to folders. InputError for an unreadable folder.
    """
    for path in sorted(_walk(results, set())):
        yield path.relative_to(results.parent)


def _walk(folder: Path, above: set[Path]) -> Iterator[Path]:
    """Files below a folder of results; `above`: its parent folders, to detect cyclic links."""
    here = folder.resolve()
    for path, is_folder in _listed(folder, () if above else NOT_RESULTS) if here not in above else ():
        if is_folder:
            yield from _walk(path, above | {here})
        else:
            yield path


def _listed(folder: Path, apart: Sequence[str]) -> list[tuple[Path, bool]]:
    """(path, whether it is a folder) for entries of a folder, except hidden ones and those in `apart`."""
    try:
        paths = [path for path in folder.iterdir() if not path.name.startswith(".") and path.name not in apart]
        return [(path, path.is_dir()) for path in paths if path.is_dir() or path.is_file()]
    except PermissionError:
        raise InputError(f"{folder} cannot be read: change its permissions, or move it out of the results") from None
