"""Losses of stage 2, one a file. A file NAME.py here is the strategy NAME: nothing else has to know of it."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from pydantic import ValidationError

from stars.config import Settings, Tune
from stars.errors import InputError
from stars.training.losses.strategy import Strategy

NOT_STRATEGIES = {"__init__", "heads", "queue", "strategy", "teacher"}


def module_of(name: str) -> str:
    """Module of the strategy `name`; InputError where there is none."""
    known = sorted({file.stem for file in Path(__file__).parent.glob("*.py")} - NOT_STRATEGIES)
    if name not in known:
        raise InputError(f"tune.strategy: no loss {name}: expected one of {', '.join(known)}, or a file of your own beside them")
    return f"{__name__}.{name}"


def find(name: str) -> type[Strategy]:
    """The class `Loss` of a strategy's file."""
    return import_module(module_of(name)).Loss


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
