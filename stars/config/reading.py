"""Read YAML files as plain data, and plain data as typed settings. Every error is one line: where, and what is
expected.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from stars.config.base import Settings
from stars.errors import ECHO, InputError, shown

MOST_VALUES = 100_000  # in a YAML file with its aliases expanded; the largest configuration here has some hundreds
Block = TypeVar("Block", bound=Settings)
# What to write in YAML, by the start of pydantic's error types.
KINDS = {
    "list_": "a list, e.g. [1, 5]", "tuple_": "a list, e.g. [1, 5]", "set_": "a list, e.g. [1, 5]",
    "dict_": "a block of `key: value`", "model_": "a block of `key: value`", "mapping_": "a block of `key: value`",
    "int_": "an integer", "float_": "a number", "finite_": "a finite number", "bool_": "true or false",
    "string_type": "a string", "path_type": "a path", "none_required": "null",
}  # fmt: skip
LIMITS = {
    "greater_than": "above",
    "greater_than_equal": "of at least",
    "less_than": "below",
    "less_than_equal": "of at most",
}
LIMIT_KEYS = {"greater_than": "gt", "greater_than_equal": "ge", "less_than": "lt", "less_than_equal": "le"}


class Loader(yaml.SafeLoader):
    """Loads plain data: numbers as in YAML 1.2 (1e-3 is a number), no duplicate keys, and no exponentially expanding
    aliases.
    """

    def get_single_node(self) -> yaml.Node | None:
        found = super().get_single_node()
        if found is not None:
            _expanded(found, {})
        return found

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for child, _ in node.value:
            name = self.construct_object(child, deep=True)
            if name.__hash__ is not None and name in seen:
                raise yaml.MarkedYAMLError(problem=f"duplicate key {shown(name)}", problem_mark=node.start_mark)
            seen |= {name} if name.__hash__ is not None else set()
        return super().construct_mapping(node, deep)


Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+0123456789.")
)


def _expanded(node: yaml.Node, known: dict[int, int]) -> int:
    """Number of values below a node with aliases expanded; a few lines of aliases to aliases can expand to billions."""
    place = id(node)
    if place not in known:
        known[place] = 0  # until it is counted
        parts = [part for pair in node.value for part in pair] if isinstance(node, yaml.MappingNode) else node.value
        known[place] = 1 + (0 if isinstance(node, yaml.ScalarNode) else sum(_expanded(part, known) for part in parts))
    if known[place] == 0:
        raise yaml.MarkedYAMLError(problem="an alias refers to a block that contains it", problem_mark=node.start_mark)
    if known[place] > MOST_VALUES:
        raise yaml.MarkedYAMLError(
            problem=f"its aliases expand to more than {MOST_VALUES:,} values", problem_mark=node.start_mark
        )
    return known[place]


def read_yaml(path: Path | str) -> dict[str, Any]:
    """The file's mapping, empty for an empty file; InputError with file and line otherwise. A byte order mark is
    skipped.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (FileNotFoundError, IsADirectoryError):
        raise InputError(f"configuration file {path} does not exist: give the path of a .yaml file") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not valid YAML: {error}") from None
    value = parse_yaml(text, str(path))
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InputError(f"{path}: expected `key: value` lines, found {type(value).__name__}")
    return value


def parse_yaml(text: str, source: str) -> Any:
    """Text as plain data; InputError with `source` and line otherwise."""
    try:
        return yaml.load(text, Loader=Loader)
    except RecursionError:
        raise InputError(f"{source}: not valid YAML: lists or blocks are nested too deeply") from None
    except (yaml.MarkedYAMLError, yaml.reader.ReaderError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise InputError(f"{source}{line}: not valid YAML: {getattr(error, 'problem', None) or error}") from None


def merge(below: Mapping[str, Any], above: Mapping[str, Any] | None) -> dict[str, Any]:
    """`below` overridden by the keys of `above`, block by block."""
    merged = dict(below)
    for name, value in (above or {}).items():
        old = merged.get(name)
        merged[name] = merge(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged


def validate(model: type[Block], value: Any, source: str, prefix: str = "") -> Block:
    """`value` as a typed block. Raises InputError: one line with each wrong key, and the nearest valid name of an
    unknown key.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        faults = [_explain(model, fault, prefix) for fault in error.errors()]
        raise InputError(f"{source}: " + "; ".join(dict.fromkeys(faults))) from None


def _explain(model: type[BaseModel], fault: Mapping[str, Any], prefix: str) -> str:
    where = ".".join([*filter(None, [prefix]), *map(str, fault["loc"])])
    if fault["type"] == "extra_forbidden":
        return f"unknown key {where}{_meant(model, fault['loc'], prefix)}"
    expected = _expected(fault)
    if expected is None:
        message = fault["msg"].removeprefix("Value error, ")
        return f"{where}: {message[0].lower()}{message[1:]}" if where else message
    return f"{where + ': ' if where else ''}expected {expected}, found {shown(fault['input'])}"


def _expected(fault: Mapping[str, Any]) -> str | None:
    """What is expected in place of a wrong value; None if the error's own message is complete."""
    kind, facts = fault["type"], fault.get("ctx", {})
    if kind in LIMITS:
        return f"a number {LIMITS[kind]} {facts[LIMIT_KEYS[kind]]:g}"
    if kind == "literal_error":
        return str(facts["expected"])
    if kind in ("too_short", "too_long"):
        number = facts["min_length" if kind == "too_short" else "max_length"]
        return f"at {'least' if kind == 'too_short' else 'most'} {number} value{'' if number == 1 else 's'}"
    return next((words for start, words in KINDS.items() if kind.startswith(start)), None)


def _meant(model: type[BaseModel], location: Sequence[str | int], prefix: str) -> str:
    """A hint for an unknown key: where the same key exists, as near as possible, otherwise a similar name."""
    *block, name = map(str, location)
    same = [path for path in _paths(model) if path[-1] == name]
    for depth in range(len(block), min(len(block), 1) - 1, -1):  # a key of a block is not looked for in other blocks
        for path in same:
            if path[:depth] == block[:depth]:
                return f": did you mean {'.'.join([*filter(None, [prefix]), *path])}?"
    return nearest(name, _names_at(model, block))


def _paths(model: type[BaseModel]) -> Iterator[list[str]]:
    """Every key of a block and of the blocks in it, without those below names that users choose."""
    for name, field in model.model_fields.items():
        yield [field.alias or name]
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from ([field.alias or name, *below] for below in _paths(field.annotation))


def _names_at(model: type[BaseModel], location: Iterable[str | int]) -> list[str]:
    """Valid keys of the block at `location`."""
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
    """A hint such as ": did you mean lr?", or the list of names if none is similar."""
    names = list(names)
    close = difflib.get_close_matches(name[:ECHO], names, n=1, cutoff=0.5)
    return f": did you mean {close[0]}?" if close else f": expected one of {', '.join(names)}"
