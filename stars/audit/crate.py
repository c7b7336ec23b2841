"""Describes a packed results folder as a Workflow Run RO-Crate, for other tools.

Profiles: RO-Crate, Workflow RO-Crate, and Process and Workflow Run Crate of Workflow Run RO-Crate
(https://w3id.org/ro/wfrun). A record is a CreateAction with its stage as instrument; all together form one action of
the workflow. Omitted files, such as clips, are listed by name and digest.
"""

from __future__ import annotations

import json
import mimetypes
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from stars.errors import InputError
from stars.pipeline.stages import STAGES
from stars.provenance.lineage import PATTERN, Lineage, Record

FILE, WORKFLOW = "ro-crate-metadata.json", "Snakefile"
CONTEXT = "https://w3id.org/ro/terms/workflow-run/context"
PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": ("Process Run Crate", "0.5"),
    "https://w3id.org/ro/wfrun/workflow/0.5": ("Workflow Run Crate", "0.5"),
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0": ("Workflow RO-Crate", "1.0"),
}
LANGUAGE = "https://w3id.org/workflowhub/workflow-ro-crate#snakemake"
LICENCE = "https://spdx.org/licenses/MIT"  # of the workflow; data are subject to their owners' terms
RAW, MADE, SETTINGS = "#parameter/raw", "#parameter/results", "#parameter/settings"
Entity = dict[str, Any]


def metadata(lineage: Lineage, files: Mapping[str, str], agent: str | None) -> dict[str, Any]:
    """The content of ro-crate-metadata.json.

    Args:
        lineage: every record of the results.
        files: path in the archive → digest, without the workflow's files.
        agent: who ran the workflow; None: not named.

    Raises:
        InputError: the package rocrate is not installed.
    """
    try:
        from rocrate.model.contextentity import ContextEntity
        from rocrate.model.data_entity import DataEntity
        from rocrate.rocrate import ROCrate
    except ModuleNotFoundError:
        raise InputError(
            "pack --crate needs the package rocrate: pip install 'stars-skeleton[crate]', or '.[crate]' in a clone"
        ) from None
    crate = ROCrate(gen_preview=False)
    crate.metadata.extra_contexts.append(CONTEXT)
    for entity in _entities(lineage, files, agent):
        kind = DataEntity if entity["@id"] in files or entity["@id"] == WORKFLOW else ContextEntity
        crate.add(
            kind(crate, entity["@id"], properties={name: value for name, value in entity.items() if name != "@id"})
        )
    ends = [_end(record) for record in lineage.records]
    root = {
        "name": "Results of stars",
        "description": (
            "Clips, encoders, evaluations, tables and figures of skeleton action recognition, with a record of what"
            " made each."
        ),
        "datePublished": max(ends).isoformat(),
        "license": {"@id": LICENCE},
        "conformsTo": _refer(PROFILES),
        "mainEntity": {"@id": WORKFLOW},
        "mentions": _refer(["#run", *map(_action, lineage.records)]),
    }
    for name, value in root.items():
        crate.root_dataset[name] = value
    crate.metadata["conformsTo"] = _refer(
        ["https://w3id.org/ro/crate/1.1", "https://w3id.org/workflowhub/workflow-ro-crate/1.0"]
    )
    found: dict[str, Any] = crate.metadata.generate()
    return found


def _entities(lineage: Lineage, files: Mapping[str, str], agent: str | None) -> Iterator[Entity]:
    for profile, (name, version) in PROFILES.items():
        yield {"@id": profile, "@type": "CreativeWork", "name": name, "version": version}
    yield {
        "@id": LICENCE,
        "@type": "CreativeWork",
        "name": "MIT License",
        "description": "of the workflow; data are their owners'",
    }
    if agent:
        yield {"@id": "#agent", "@type": "Person", "name": agent}
    yield from _workflow(lineage, files, agent)
    used = {path.as_posix(): sha256 for record in lineage.records for path, sha256 in record.inputs.items()}
    made = {path.as_posix(): sha256 for path, record in lineage.makers().items() for sha256 in [record.outputs[path]]}
    for name, sha256 in files.items():
        yield _file(lineage.project / name, name, sha256, made)
    for name, sha256 in (used | made).items():
        if name not in files:
            outside = [] if name in made else [RAW]
            yield {"@id": _absent(name), "@type": "CreativeWork", "name": name, "sha256": sha256, **_example(outside)}
    yield from _software(lineage.records)
    for record in lineage.records:
        yield from _run(record, files, agent)


def _workflow(lineage: Lineage, files: Mapping[str, str], agent: str | None) -> Iterator[Entity]:
    """The workflow, its language and parameters, and its run as one action."""
    yield {
        "@id": WORKFLOW,
        "@type": ["File", "SoftwareSourceCode", "ComputationalWorkflow"],
        "name": "stars: raw skeleton files to tables and figures",
        "programmingLanguage": {"@id": LANGUAGE},
        "input": _refer([RAW, SETTINGS]),
        "output": _refer([MADE]),
    }
    address = {"@id": "https://snakemake.readthedocs.io"}
    yield {"@id": LANGUAGE, "@type": "ComputerLanguage", "name": "Snakemake", "identifier": address, "url": address}
    for parameter, kind, name in ((RAW, "File", "raw"), (SETTINGS, "Text", "settings"), (MADE, "File", "results")):
        yield {
            "@id": parameter,
            "@type": "FormalParameter",
            "additionalType": kind,
            "name": name,
            "conformsTo": {"@id": "https://bioschemas.org/profiles/FormalParameter/1.0-RELEASE"},
        }
    made = lineage.makers()
    given = {path.as_posix() for record in lineage.records for path in record.inputs if path not in made}
    starts, ends = [_start(record) for record in lineage.records], [_end(record) for record in lineage.records]
    yield {
        "@id": "#run",
        "@type": "CreateAction",
        "name": "Run of the workflow",
        "instrument": {"@id": WORKFLOW},
        "object": _refer(
            [
                *(_id(name, files) for name in sorted(given)),
                *(f"{_action(record)}/settings" for record in lineage.records),
            ]
        ),
        "result": _refer(path.as_posix() for path in made if path.as_posix() in files),
        "startTime": min(starts).isoformat(),
        "endTime": max(ends).isoformat(),
        "actionStatus": {"@id": "http://schema.org/CompletedActionStatus"},
        **({"agent": {"@id": "#agent"}} if agent else {}),
    }


def _run(record: Record, files: Mapping[str, str], agent: str | None) -> Iterator[Entity]:
    """A record: the action, with its settings as a parameter."""
    settings = f"{_action(record)}/settings"
    yield {
        "@id": _action(record),
        "@type": "CreateAction",
        "name": f"{record.stage}: {record.place}",
        "description": " ".join(record.told["command"]),
        "instrument": {"@id": _instrument(record)},
        "object": _refer([*(_id(path.as_posix(), files) for path in record.inputs), settings]),
        "result": _refer(_id(path.as_posix(), files) for path in record.outputs),
        "startTime": _start(record).isoformat(),
        "endTime": _end(record).isoformat(),
        "actionStatus": {"@id": "http://schema.org/CompletedActionStatus"},
        **({"agent": {"@id": "#agent"}} if agent else {}),
    }
    text = json.dumps(record.told["settings"], sort_keys=True, ensure_ascii=False)
    yield {"@id": settings, "@type": "PropertyValue", "name": "settings", "value": text, **_example([SETTINGS])}


def _software(records: Iterable[Record]) -> Iterator[Entity]:
    """Stages by source version, and their libraries."""
    titles = {stage.module: stage.help for stage in STAGES.values()}
    stages = {_instrument(record): record for record in records}
    for name, record in stages.items():
        source, libraries = record.told["code"], record.told["versions"].items()
        yield {
            "@id": name,
            "@type": "SoftwareApplication",
            "name": record.stage,
            "description": titles.get(record.stage.split("+")[0], record.stage),
            "url": {"@id": WORKFLOW},
            "softwareVersion": source.get("commit") or source["digest"],
            "sha256": source["digest"],
            "softwareRequirements": _refer(f"#software/{library}-{version}" for library, version in libraries),
        }
    found = {pair for record in stages.values() for pair in record.told["versions"].items()}
    for library, version in sorted(found):
        yield {
            "@id": f"#software/{library}-{version}",
            "@type": "SoftwareApplication",
            "name": library,
            "softwareVersion": version,
        }


def _file(path: Path, name: str, sha256: str, made: Mapping[str, str]) -> Entity:
    kind = "application/json" if path.match(PATTERN) else mimetypes.guess_type(name)[0] or "application/octet-stream"
    facts = {"name": name, "sha256": sha256, "contentSize": str(path.stat().st_size), "encodingFormat": kind}
    return {"@id": name, "@type": "File", **facts, **_example([MADE] if name in made else [])}


def _example(parameters: list[str]) -> Entity:
    return {"exampleOfWork": _refer(parameters)} if parameters else {}


def _refer(names: Iterable[str]) -> list[dict[str, str]]:
    return [{"@id": name} for name in names]


def _id(name: str, files: Mapping[str, str]) -> str:
    return name if name in files else _absent(name)


def _absent(name: str) -> str:
    """Identifier of a file outside the archive, which is not a path."""
    return f"#left-out/{name.lstrip('/')}"


def _action(record: Record) -> str:
    return f"#action/{record.path.as_posix()}"


def _instrument(record: Record) -> str:
    return f"#stage/{record.stage}-{record.told['code']['digest'][:12]}"


def _start(record: Record) -> datetime:
    return datetime.fromisoformat(record.told["started"])


def _end(record: Record) -> datetime:
    return _start(record) + timedelta(seconds=round(record.told["wall_seconds"]))
