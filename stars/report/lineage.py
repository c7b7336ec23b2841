"""Lineage of shown files back to the raw ones, as plain data: each file's record and inputs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from stars.provenance.lineage import MADE, RESULTS, Record

KEPT = (*MADE, "energy_joules")


class Graph:
    """Files and their records, numbered in order of first use.

    Paths are as in records, independent of the results folder's current name.
    """

    def __init__(self, records: Sequence[Record], results: Path = Path(RESULTS)) -> None:
        self.records, self._results = records, results
        self._makers = {self.noted(path): record for record in records for path in record.outputs}
        digests = (entry for record in records for entry in (*record.inputs.items(), *record.outputs.items()))
        self._digests = {self.noted(path): digest for path, digest in digests}
        self._files: dict[Path, int] = {}
        self._records: dict[Path, int] = {}
        self._told: list[Mapping[str, Any]] = []

    @classmethod
    def of(cls, records: Iterable[Path], results: Path = Path(RESULTS)) -> Graph:
        """Build the graph of these record files of a results folder; InputError if one is damaged."""
        return cls([Record.read(Path(), path, results) for path in records], results)

    def noted(self, path: Path) -> Path:
        """A path as in records."""
        return RESULTS / path.relative_to(self._results) if path.is_relative_to(self._results) else path

    def number(self, path: Path | str) -> int:
        """A file's number; also numbers all its inputs."""
        path = self.noted(Path(path))
        if path not in self._files:
            self._files[path] = len(self._files)
            if path in self._makers and self._makers[path].path not in self._records:
                self._add(self._makers[path])
        return self._files[path]

    def numbers(self, paths: Iterable[Path | str]) -> str:
        """Numbers of several files, joined by spaces."""
        return " ".join(str(self.number(path)) for path in paths)

    def _add(self, record: Record) -> None:
        self._records[record.path] = len(self._told)
        facts = {"stage": record.stage, "path": str(self.noted(record.path)), "code": record.told["code"]}
        entry: dict[str, Any] = {**facts, **{name: record.told.get(name) for name in KEPT}}
        self._told.append(entry)
        entry["inputs"] = [self.number(path) for path in record.inputs]

    def data(self) -> dict[str, Any]:
        """{files: [[path, sha256 or "", number of its record or −1], …], records: […]}."""
        files = [[str(path), self._digests.get(path, ""), self._record_of(path)] for path in self._files]
        return {"files": files, "records": self._told}

    def _record_of(self, path: Path) -> int:
        return self._records[self._makers[path].path] if path in self._makers else -1
