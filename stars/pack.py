"""A results folder as one archive to hand on, with a manifest that says what is in it."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stars.errors import InputError
from stars.provenance.files import atomic, json_text, read_json, sha256
from stars.provenance.lineage import result_files, seal

MANIFEST = "MANIFEST.json"
CLIPS = (
    "clips/frames.npy",
    "raw.zip",
    "report/index.html",
)  # joints of clips: large, and a data set's owners may not allow that they are handed on
DATE = (1980, 1, 1, 0, 0, 0)


def pack(results: Path, out: Path, with_clips: bool = False) -> dict[str, Any]:
    """Write archive `out` (.zip) of every result and record below `results`, the same bytes for the same results, and return its manifest.

    Args:
        with_clips: the clips' joints too; otherwise the manifest names them, with their digests, as left out.
    """
    left_out = [path for path in result_files(results) if not with_clips and path.as_posix().endswith(CLIPS)]
    kept = [path for path in result_files(results) if path not in left_out and path.name != MANIFEST]
    if not kept:
        raise InputError(f"{results} holds no results: run the workflow first")
    project = results.parent
    told: dict[str, Any] = {"files": _digests(project, kept), "left_out": _digests(project, left_out)}
    told["seal"] = seal(told)
    with atomic(out) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo(f"{results.name}/{MANIFEST}", DATE), json_text(told))
        for path in kept:
            archive.writestr(zipfile.ZipInfo(path.as_posix(), DATE), (project / path).read_bytes(), zipfile.ZIP_DEFLATED)
    return told


def _digests(project: Path, paths: list[Path]) -> dict[str, str]:
    return {path.as_posix(): sha256(project / path) for path in paths}


def read_manifest(results: Path) -> dict[str, Any]:
    """The manifest of an unpacked results folder; InputError where it is missing or was changed."""
    told = read_json(results / MANIFEST)
    try:
        whole = told["seal"] == seal(told) and json_text(told) == (results / MANIFEST).read_text(encoding="utf-8")
    except (KeyError, TypeError, AttributeError):
        whole = False
    if not whole:
        raise InputError(f"{results / MANIFEST} was changed or is damaged: unpack the archive again")
    return told


def differences(results: Path) -> Iterator[str]:
    """A line for every file that is not as the manifest says, or that it does not name."""
    named, project = read_manifest(results)["files"], results.parent
    for name, expected in named.items():
        path = project / name
        if not path.is_file():
            yield f"{name}: gone, the manifest names it; unpack the archive again"
        elif sha256(path) != expected:
            yield f"{name}: its bytes differ from the manifest; unpack the archive again"
    for path in result_files(results):
        if path.as_posix() not in named:
            yield f"{path}: the manifest does not name it; it was not in the archive"
