"""Objectives, one a file: what a training minimises. A file NAME.py here is the objective NAME: nothing else has to know of it."""

from __future__ import annotations

from pydantic import ValidationError

from stars.config import Settings, Tune
from stars.errors import InputError
from stars.objectives.base import Objective
from stars.plugins import class_of


def find(name: str, key: str = "tune.strategy") -> type[Objective]:
    """The class `Loss` of an objective's file; InputError where there is none, `key` being the one that names it."""
    found: type[Objective] = class_of("objectives", name, key)
    return found


def options(tune: Tune) -> Settings:
    """The typed settings of the chosen strategy; InputError naming the first one that is not right."""
    given = getattr(tune, tune.block)
    if isinstance(given, Settings):
        return given
    try:
        return find(tune.strategy).Options.model_validate(given)
    except ValidationError as error:
        fault = error.errors()[0]
        raise InputError(f"tune.options.{'.'.join(map(str, fault['loc']))}: {fault['msg']} ({tune.strategy})") from None
