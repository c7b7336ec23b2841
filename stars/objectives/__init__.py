"""Objectives, which training minimises. The file NAME.py defines the objective NAME; it needs no registration."""

from __future__ import annotations

from pydantic import ValidationError

from stars.config import Settings, Tune
from stars.errors import InputError
from stars.objectives.base import Objective
from stars.plugins import class_of


def find(name: str, key: str = "tune.strategy") -> type[Objective]:
    """The class `Loss` of an objective's file; InputError if it is missing; `key` is the setting that names it."""
    found: type[Objective] = class_of("objectives", name, key)
    return found


def options(tune: Tune) -> Settings:
    """Validated settings of the chosen strategy; InputError naming the first invalid one."""
    given = getattr(tune, tune.block)
    if isinstance(given, Settings):
        return given
    try:
        return find(tune.strategy).Options.model_validate(given)
    except ValidationError as error:
        fault = error.errors()[0]
        raise InputError(f"tune.options.{'.'.join(map(str, fault['loc']))}: {fault['msg']} ({tune.strategy})") from None
