"""Generate the reference page, the JSON schema for editors and the settings in `--help` from `stars.config`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import yaml
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from stars.config import Config, Data, PluginProtocol, PluginTable, Recipe, Simulate
from stars.pipeline.stages import STAGES
from stars.provenance.files import json_text


def rows(
    model: type[BaseModel] = Config, prefix: str = "", default: BaseModel | None = None
) -> Iterator[tuple[str, str, str, str]]:
    """(key, type, default, description) of every setting in order of definition; blocks are expanded."""
    for name, field in model.model_fields.items():
        path = f"{prefix}{field.alias or name}"
        value = getattr(default, name) if default is not None else field.default
        inner = INNER.get(path)
        if isinstance(value, BaseModel) and inner is None:
            yield from rows(type(value), path + ".", value)
            continue
        shown = f"(required unless {UNLESS[path]})" if path in UNLESS else _default(value)
        yield path, _kind(field.annotation), shown, field.description or ""
        if inner is not None:
            yield from rows(inner, f"{path}.NAME." if path in NAMED else f"{path}.")


NAMED: dict[str, type[BaseModel]] = {
    "data": Data,
    "methods": Recipe,
    "protocols": PluginProtocol,
    "tables": PluginTable,
}
INNER: dict[str, type[BaseModel]] = {**NAMED, "data.NAME.simulate": Simulate}
# required key → the key that can replace it; `stars.pipeline.configuration` then fills it in
UNLESS = {"data.NAME.dataset": "like"}


def _kind(annotation: Any) -> str:
    """A type as Python users write it: `int`, `a | b | null`, `list of float`; a block is a `dict`."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " | ".join(map(str, inner))
    if origin is tuple:
        of = _kind(inner[0])
        return "list" if inner[0] is Any else f"list of ({of})" if "|" in of else f"list of {of}"
    if origin is Annotated:
        return _kind(inner[0])
    if origin in (Union, UnionType):
        return " | ".join(_kind(part) for part in inner)
    return (
        "null" if annotation is NoneType else annotation.__name__ if annotation in (str, int, float, bool) else "dict"
    )


def _default(value: Any) -> str:
    if value is PydanticUndefined:
        return "(required)"
    return "" if isinstance(value, dict | BaseModel) else json.dumps(value, ensure_ascii=False)


def settings_list(stage: str) -> str:
    """The settings that a stage reads, one per line, for `stars STAGE --help`."""
    blocks = STAGES[stage].blocks
    chosen = [row for row in rows() if any(row[0] == block or row[0].startswith(block + ".") for block in blocks)]
    return "\n".join(
        f"  {path:34} {meaning}" + (f" [{default}]" if default else "") for path, _, default, meaning in chosen
    )


def page() -> str:
    """docs/configuration.md."""
    lines = [
        "# Configuration",
        "",
        (
            "All keys of a configuration, generated from `stars/config/`. A file in `config/` sets only what differs"
            " from these"
        ),
        (
            "defaults, which are the paper's. `NAME` is a name you choose. `stars config check --config FILE` checks a"
            " file, and"
        ),
        "`stars config show` prints it with every default. Editors read `config/schema.json`.",
    ]
    sections: dict[str, list[tuple[str, str, str, str]]] = {}
    for path, kind, default, meaning in rows():
        sections.setdefault(path.split(".")[0], []).append((path, kind, default, meaning))
    first: dict[tuple[tuple[str, ...], ...], str] = {}  # the keys of a section → the first section with them
    for head, found in sections.items():
        lines += ["", f"## {head}", ""]
        field = Config.model_fields[head]
        if isinstance(field.default, BaseModel):
            summary = str(field.description)
            lines += [f"{summary[0].upper()}{summary[1:]}.", ""]
        below = tuple((path.removeprefix(head), *others) for path, *others in found)
        if len(found) > 1 and (same := first.setdefault(below, head)) != head:
            lines += [f"Same keys and defaults as [{same}](#{same})."]
            continue
        lines += ["| key | type | default | description |", "|---|---|---|---|"]
        for path, kind, default, meaning in found:
            cells = (f"`{path}`", kind, f"`{default}`" if default else "", meaning)
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def schema() -> str:
    """JSON schema of a configuration file."""
    told = {"$schema": "https://json-schema.org/draft/2020-12/schema", **Config.model_json_schema(by_alias=True)}
    data = told["$defs"]["Data"]
    given = {"required": ["like"], "properties": {"like": {"type": "string"}}}
    data["anyOf"] = [{"required": data.pop("required")}, given]
    return json_text(told)


def as_yaml(config: BaseModel) -> str:
    """A configuration with every default filled in."""
    return yaml.safe_dump(config.model_dump(mode="json", by_alias=True), sort_keys=False, allow_unicode=True)
