"""From shown files back to the raw ones, as plain data: which record made a file, and from which files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from stars.provenance.lineage import Lineage, Record

KEPT = ("settings", "seed", "command", "versions", "hardware", "slurm_job", "started", "wall_seconds", "peak_memory_mb", "energy_joules")


class Graph:
    """Files and the records that made them, numbered in the order in which they are first asked for."""

    def __init__(self, lineage: Lineage) -> None:
        self._makers = lineage.makers()
        self._digests = {path: digest for record in lineage.records for path, digest in (*record.inputs.items(), *record.outputs.items())}
        self._files: dict[Path, int] = {}
        self._records: dict[Path, int] = {}
        self._told: list[Mapping[str, Any]] = []

    @classmethod
    def of(cls, records: Iterable[Path]) -> Graph:
        """The graph of these record files; InputError where one is damaged."""
        return cls(Lineage(Path(), tuple(Record.read(Path(), path) for path in records), ()))

    def number(self, path: Path | str) -> int:
        """A file's number; all that it was made from gets one too."""
        path = Path(path)
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
        told = {"stage": record.stage, "path": str(record.path), "code": record.told["code"]}
        entry: dict[str, Any] = {**told, **{name: record.told.get(name) for name in KEPT}}
        self._told.append(entry)
        entry["inputs"] = [self.number(path) for path in record.inputs]

    def data(self) -> dict[str, Any]:
        """{files: [[path, sha256 or "", number of the record that made it or −1], …], records: […]}."""
        files = [[str(path), self._digests.get(path, ""), self._record_of(path)] for path in self._files]
        return {"files": files, "records": self._told}

    def _record_of(self, path: Path) -> int:
        return self._records[self._makers[path].path] if path in self._makers else -1
