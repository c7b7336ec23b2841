"""Results cached with a configuration."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Concatenate, ParamSpec, TypeVar

from stars.config import Config

Found = TypeVar("Found")
Names = ParamSpec("Names")


def once(resolve: Callable[Concatenate[Config, Names], Found]) -> Callable[Concatenate[Config, Names], Found]:
    """`resolve(config, …)`, cached per configuration: a workflow requests the same many times."""

    @functools.wraps(resolve)
    def resolved(config: Config, *names: Names.args, **named: Names.kwargs) -> Found:
        known, asked = config._resolved, (resolve, *names, *sorted(named.items()))
        if asked not in known:
            known[asked] = resolve(config, *names, **named)
        return known[asked]

    return resolved
