"""A YAML file as plain data, and plain data as typed settings: every fault is one line that says where and what is right."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from stars.config.base import Settings
from stars.errors import InputError

Block = TypeVar("Block", bound=Settings)


class Loader(yaml.SafeLoader):
    """Plain data only, numbers as YAML 1.2 reads them (1e-3 is a number), and no key twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(child, deep=True) for child, _ in node.value]
        for name in keys:
            if keys.count(name) > 1:
                raise yaml.MarkedYAMLError(problem=f"key {name!r} stands twice", problem_mark=node.start_mark)
        return super().construct_mapping(node, deep)


Loader.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+0123456789."))


def read_yaml(path: Path | str) -> dict[str, Any]:
    """The file's mapping, an empty file an empty one; InputError with file and line otherwise."""
    try:
        value = yaml.load(Path(path).read_text(encoding="utf-8"), Loader=Loader)
    except (FileNotFoundError, IsADirectoryError):
        raise InputError(f"configuration file {path} does not exist: give the path of a .yaml file") from None
    except (yaml.MarkedYAMLError, yaml.reader.ReaderError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise InputError(f"{path}{line}: not valid YAML: {getattr(error, 'problem', None) or error}") from None
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InputError(f"{path}: expected `key: value` lines, found {type(value).__name__}")
    return value


def merge(below: Mapping[str, Any], above: Mapping[str, Any] | None) -> dict[str, Any]:
    """`below` with the keys of `above` laid over it, block by block."""
    merged = dict(below)
    for name, value in (above or {}).items():
        old = merged.get(name)
        merged[name] = merge(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged


def validate(model: type[Block], value: Any, source: str, prefix: str = "") -> Block:
    """`value` as a typed block; every fault in one line with its key, and the nearest right name of an unknown one."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        faults = [_explain(model, fault, prefix) for fault in error.errors()]
        raise InputError(f"{source}: " + "; ".join(dict.fromkeys(faults))) from None


def _explain(model: type[BaseModel], fault: Mapping[str, Any], prefix: str) -> str:
    where = ".".join([*filter(None, [prefix]), *map(str, fault["loc"])])
    if fault["type"] == "extra_forbidden":
        names = _names_at(model, fault["loc"][:-1])
        return f"unknown key {where}{nearest(str(fault['loc'][-1]), names)}"
    message = fault["msg"].removeprefix("Value error, ").replace("a valid tuple", "a list")  # as YAML calls it
    found = "" if fault["type"] in ("missing", "value_error") else f", found {fault['input']!r}"
    return f"{where}: {message[0].lower()}{message[1:]}{found}" if where else message


def _names_at(model: type[BaseModel], location: Iterable[str | int]) -> list[str]:
    """Keys that are right in the block at `location`."""
    for name in location:
        field = model.model_fields.get(str(name))
        kinds = [] if field is None else _models_in(field.annotation)
        model = kinds[0] if kinds else model
    return [field.alias or name for name, field in model.model_fields.items()]


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in getattr(annotation, "__args__", ()) for model in _models_in(part)]


def nearest(name: str, names: Iterable[str]) -> str:
    """A hint such as ": did you mean lr?", or the list of names when none is near."""
    names = list(names)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f": did you mean {close[0]}?" if close else f": expected one of {', '.join(names)}"
