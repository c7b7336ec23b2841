"""The records below a results folder as what they are: a graph from raw files to tables."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stars.errors import InputError
from stars.provenance.files import digest, json_text

PATTERN = "*record.json"
RESULTS = "results"  # the folder's name in a project
WEIGHTS = ".safetensors"
MANIFEST, SIGNATURE = "MANIFEST.json", "MANIFEST.json.sig"  # of an archive
NOT_RESULTS = ("logs", "benchmarks", "README.md", MANIFEST, SIGNATURE)  # what stands in a results folder without a record
# What a record has in any case, beside its inputs, outputs and seal.
FIELDS = frozenset(
    ("stage", "settings", "code", "seed", "command", "versions", "hardware", "slurm_job", "started", "wall_seconds", "peak_memory_mb")
)


@dataclass(frozen=True, eq=False)
class Record:
    """One record.

    Attributes:
        path: of the record, from the project's folder, as all paths here.
        told: its content.
        outputs, inputs: file → sha256.
        results: the results folder that it lies in, as it is called now.
    """

    path: Path
    told: Mapping[str, Any]
    outputs: Mapping[Path, str]
    inputs: Mapping[Path, str]
    results: Path = Path(RESULTS)

    @property
    def stage(self) -> str:
        """Module that did the work."""
        return self.told["stage"]

    @classmethod
    def read(cls, project: Path, path: Path, results: Path = Path(RESULTS)) -> Record:
        """The record in file `path` of folder `project`; InputError where it is not what `recording` wrote, to the byte.

        Args:
            results: the results folder as it is called now, from `project`. Records call it `results`, as the workflow does.
        """
        try:
            text = (project / path).read_text(encoding="utf-8")
            told = json.loads(text)
            outputs = {path.parent / name: entry["sha256"] for name, entry in told["outputs"].items()}
            inputs = {renamed(entry["path"], results): entry["sha256"] for entry in told["inputs"].values()}
            whole = json_text(told) == text and told["seal"] == seal(told) and told.keys() >= FIELDS
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            whole = False
        if not whole:
            raise InputError(f"{path}: the record was changed or is damaged: delete what it stands beside and run again")
        return cls(path, told, outputs, inputs, results)

    @property
    def place(self) -> str:
        """What the record is of, from the results folder: a folder, or files by what they have in common ("demo/splits/xsub")."""
        parts = self.path.parts
        inside = parts[len(parts) - parts[::-1].index(RESULTS) :] if RESULTS in parts else parts[1:]
        return "/".join(inside).removesuffix("record.json").rstrip("/.")


def renamed(path: Path | str, results: Path) -> Path:
    """A file that was noted when its results folder was called `results`, where that is called `results` now."""
    path = Path(path)
    return results.joinpath(*path.parts[1:]) if path.parts[:1] == (RESULTS,) else path


def as_noted(path: Path) -> Path:
    """A file of a results folder, from the project's folder, as records and archives call it, whatever that folder is called now."""
    return Path(RESULTS, *path.parts[1:])


def seal(told: Mapping[str, Any]) -> str:
    """Digest of a record but for its seal."""
    return digest({name: value for name, value in told.items() if name != "seal"})


@dataclass(frozen=True, eq=False)
class Lineage:
    """All records of a results folder.

    Attributes:
        project: folder that paths count from.
        records: those that are whole.
        damaged: a line for each that is not.
    """

    project: Path
    records: tuple[Record, ...]
    damaged: tuple[str, ...]

    @classmethod
    def read(cls, results: Path) -> Lineage:
        """The records below folder `results`, in the order of their paths."""
        project, records, damaged = results.parent, [], []
        for path in result_files(results):
            if path.match(PATTERN):
                try:
                    records.append(Record.read(project, path, Path(results.name)))
                except InputError as error:
                    damaged.append(str(error))
        return cls(project, tuple(records), tuple(damaged))

    def makers(self) -> dict[Path, Record]:
        """File → the record that it was made by."""
        return {output: record for record in self.records for output in record.outputs}

    def chain(self, path: Path) -> Iterator[tuple[int, Path, str, Record | None]]:
        """What `path` was made from, back to the raw files, each file once: depth, file, sha256, and its maker (None: given from outside)."""
        makers, seen = self.makers(), set()
        if path not in makers:
            raise InputError(f"{path}: no record says what made it")
        waiting = [(0, path, makers[path].outputs[path])]
        while waiting:
            depth, file, found = waiting.pop()
            if file not in seen:
                seen.add(file)
                maker = makers.get(file)
                yield depth, file, found, maker
                waiting += [(depth + 1, *entry) for entry in reversed(list(maker.inputs.items() if maker else ()))]


def behind(project: Path, inputs: Mapping[Path, str]) -> tuple[dict[Path, Record], dict[Path, str]]:
    """The records behind files, and what was given from outside, as file → sha256. Only records that stand beside a file are read.

    Args:
        project: folder that paths count from.
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
    """The records beside `path` that name it among their outputs: more than one where weights were imported over those of a training."""
    for beside in sorted((project / path).parent.glob(PATTERN)):
        try:
            record = Record.read(project, path.parent / beside.name)
        except InputError:
            continue
        if path in record.outputs:
            yield record


def refuse_changed(inputs: Iterable[tuple[Path, str]]) -> None:
    """InputError for the first weights among some files, each with its sha256, that are not as the record beside them says.

    Of weights nothing else would show it. Clips, splits and features are looked at by whoever reads them, and may be changed on purpose.
    """
    for path, found in inputs:
        makers = list(_makers(Path(), path)) if path.suffix == WEIGHTS else []
        if makers and all(maker.outputs[path] != found for maker in makers):
            meant = f"; if the change is meant, delete {makers[-1].path}"
            raise InputError(f"{path}: its bytes differ from its record, so nothing is made from it: {again(path)}{meant}")


def around(file: Path) -> Path | None:
    """The results folder that a file lies in, whatever it is called; None where nothing says so.

    That is an unpacked archive, a folder called `results`, or the one in which the inputs of the record beside the file are found.
    """
    above = list(file.absolute().parents)
    named = [folder for folder in above if (folder / MANIFEST).is_file() or (folder.name == RESULTS and folder.is_dir())]
    return next(iter([*named, *_by_record(file, above)]), None)


def _by_record(file: Path, above: Sequence[Path]) -> Iterator[Path]:
    for beside in sorted(file.parent.glob(PATTERN)):
        try:
            inputs = [path for path in Record.read(file.parent, Path(beside.name)).inputs if path.parts[:1] == (RESULTS,)]
        except InputError:
            continue
        yield from (folder for folder in above if any(renamed(path, folder).is_file() for path in inputs))


def located(beside: Path, path: Path) -> Path | None:
    """A file that a record near `beside` names, wherever the results folder lies now and whatever it is called; None where it is gone."""
    above = beside.resolve().parents
    places = [*(folder / path for folder in above), *(renamed(path, folder) for folder in above)]
    return next((place for place in places if place.exists()), None)


def again(path: Path) -> str:
    """How a damaged result comes back, in words. Snakemake alone would not make it again, but what was made from it."""
    if RESULTS not in path.parts:
        return "restore the file, or make it again in the project that it comes from"
    return f"make it again (snakemake --cores 1 --force -- {path}; a --configfile of yours goes before the --), or restore the file"


def result_files(results: Path) -> Iterator[Path]:
    """Every result and record, from the project's folder, sorted; hidden files are work in progress or locks.

    Folders that are links, as to another disk, are entered. InputError for one that may not be read.
    """
    for path in sorted(_walk(results, set())):
        yield path.relative_to(results.parent)


def _walk(folder: Path, above: set[Path]) -> Iterator[Path]:
    """Files below a folder of results; `above`: the folders around it, which a link may lead back to."""
    here = folder.resolve()
    for path, is_folder in _listed(folder, () if above else NOT_RESULTS) if here not in above else ():
        if is_folder:
            yield from _walk(path, above | {here})
        else:
            yield path


def _listed(folder: Path, apart: Sequence[str]) -> list[tuple[Path, bool]]:
    """The files and folders in a folder, each with whether it is a folder, but for hidden ones and those named in `apart`."""
    try:
        paths = [path for path in folder.iterdir() if not path.name.startswith(".") and path.name not in apart]
        return [(path, path.is_dir()) for path in paths if path.is_dir() or path.is_file()]
    except PermissionError:
        raise InputError(f"{folder} may not be read: change its permissions, or move it out of the results") from None
