"""Packs a results folder into one archive with a manifest."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from stars import shipped
from stars.audit import crate as ro_crate
from stars.audit.signature import sign
from stars.errors import InputError
from stars.provenance import ledger
from stars.provenance.files import atomic, json_text, read_json, sha256
from stars.provenance.lineage import (
    MANIFEST,
    PATTERN,
    RESULTS,
    SIGNATURE,
    Lineage,
    Record,
    again,
    as_noted,
    result_files,
    seal,
)

# Stage → its files with joints of clips: large, and a data set's owners may not allow sharing them.
JOINTS = {
    "stars.data.simulate": "*.zip",
    "stars.ingest": "frames.npy",
    "stars.evaluation.joints": "*.npy",
    "stars.report.page": "*.html",
    "stars.inspect.clip": "*",  # pictures of every frame
    "stars.data.preprocessed.export": "*",
}
DATE, MODE = (1980, 1, 1, 0, 0, 0), 0o644


def pack(
    results: Path,
    out: Path,
    with_clips: bool = False,
    key: Path | None = None,
    crate: bool = False,
    agent: str | None = None,
) -> dict[str, Any]:
    """Write archive `out` (.zip) of every result, record and ledger entry, with reproducible bytes, and return its
    manifest.

    In the archive, the folder is always called `results`, as in records.

    Args:
        with_clips: include the clips' joints; otherwise the manifest lists them as omitted, with digests. It always
            omits files without a record, and files in the ledger that are not entries.
        key: key to sign the manifest with (`stars.audit.signature`).
        crate: also describe the archive as a Workflow Run RO-Crate (`stars.audit.crate`), with the Snakefile; agent:
            who ran it.

    Raises:
        InputError: there is nothing to pack, a record is damaged, or a file differs from its record.
    """
    lineage = Lineage.read(results)
    if lineage.damaged:
        raise InputError(lineage.damaged[0])
    makers, project, files = lineage.makers(), results.parent, list(result_files(results))
    kept = {path: None for path in files if _handed_on(project, path, makers.get(path), with_clips)}
    left_out = [path for path in files if path not in kept]
    if not makers:
        raise InputError(f"{results} contains no results: run the workflow first")
    manifest: dict[str, Any] = {"files": _digests(project, kept), "left_out": _digests(project, left_out)}
    for path in kept:
        if path in makers and manifest["files"][as_noted(path).as_posix()] != makers[path].outputs[path]:
            raise InputError(f"{path}: its bytes differ from its record: {again(path)}")
    manifest["seal"] = seal(manifest)
    if crate and results.name != RESULTS:
        raise InputError(f"pack --crate: the description uses the paths in the records: rename {results} to {RESULTS}")
    signed = sign(json_text(manifest), key) if key else None
    described = ro_crate.metadata(lineage, manifest["files"], agent) if crate else None
    with atomic(out) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(_entry(f"{RESULTS}/{MANIFEST}"), json_text(manifest))
        if signed is not None:
            archive.writestr(_entry(f"{RESULTS}/{SIGNATURE}"), signed)
        if described:
            archive.writestr(_entry(ro_crate.FILE), json_text(described))
            archive.writestr(_entry(ro_crate.WORKFLOW), (shipped.FOLDER / ro_crate.WORKFLOW).read_bytes())
        for path in kept:
            entry = _entry(as_noted(path).as_posix())
            entry.file_size = (project / path).stat().st_size  # zipfile needs it to choose ZIP64
            with (project / path).open("rb") as file, archive.open(entry, "w") as packed:
                shutil.copyfileobj(file, packed, 1 << 20)
    return manifest


def _handed_on(project: Path, path: Path, maker: Record | None, with_clips: bool) -> bool:
    if maker is None:
        return path.match(PATTERN) or (path.parts[1:-1] == (ledger.FOLDER,) and ledger.is_entry(project / path))
    return with_clips or maker.stage not in JOINTS or not path.match(JOINTS[maker.stage])


def _entry(name: str) -> zipfile.ZipInfo:
    """An archive entry without time and host, readable for all."""
    entry = zipfile.ZipInfo(name, DATE)
    entry.compress_type, entry.create_system, entry.external_attr = zipfile.ZIP_DEFLATED, 3, MODE << 16
    return entry


def _digests(project: Path, paths: Iterable[Path]) -> dict[str, str]:
    return {as_noted(path).as_posix(): sha256(project / path) for path in paths}


def read_manifest(results: Path) -> dict[str, Any]:
    """The manifest of an unpacked results folder; InputError if it is missing or was changed."""
    if not (results / MANIFEST).is_file():
        raise InputError(f"{results} contains no {MANIFEST}: give the folder of the unpacked archive that contains it")
    manifest = read_json(results / MANIFEST)
    try:
        whole = manifest["seal"] == seal(manifest) and json_text(manifest) == (results / MANIFEST).read_text(
            encoding="utf-8"
        )
    except (KeyError, TypeError, AttributeError):
        whole = False
    if not whole:
        raise InputError(f"{results / MANIFEST} was changed or is damaged: unpack the archive again")
    return manifest


def left_out(results: Path) -> dict[Path, str]:
    """File omitted from the archive, relative to the folder above the results → its sha256."""
    return _named(results, "left_out")


def _named(results: Path, part: str) -> dict[Path, str]:
    """Files in one part of the manifest, by the current name of the results folder."""
    manifest = {PurePosixPath(name).parts: found for name, found in read_manifest(results)[part].items()}
    for parts in manifest:
        if len(parts) < 2 or parts[0] == "/" or ".." in parts:
            raise InputError(
                f"{results / MANIFEST} names {'/'.join(parts)}, which lies outside of the results: trust nothing in"
                " this archive"
            )
    return {Path(results.name, *parts[1:]): found for parts, found in manifest.items()}


def differences(results: Path) -> Iterator[str]:
    """One line for every file that differs from the manifest, or is not listed in it."""
    named, project = _named(results, "files"), results.parent
    for name, expected in named.items():
        path = project / name
        if not path.is_file():
            yield f"{name}: gone, although the manifest lists it; unpack the archive again"
        elif sha256(path) != expected:
            yield f"{name}: its bytes differ from the manifest; unpack the archive again"
    for path in result_files(results):
        if path not in named:
            yield f"{path}: the manifest does not list it; it was not in the archive"
