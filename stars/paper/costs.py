"""Cost columns of a result table: parameters of the encoder, operations per clip, training time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stars.config import Settings, key
from stars.errors import InputError
from stars.evaluation.statistics import mean_std
from stars.paper.times import duration, training_seconds
from stars.provenance.files import read_json

UNKNOWN = "–"  # records of earlier versions lack this


class Cost(Settings):
    """The records with a method's costs."""

    method: str = key(..., "method")
    encoders: tuple[str, ...] = key((), "methods whose encoders it uses: itself, or the members of an ensemble")
    trainings: tuple[str, ...] = key((), "methods whose training times are added")
    seeds: tuple[int, ...] = key(..., "seeds of training; a time is their mean", min_length=1)

    @property
    def roles(self) -> list[str]:
        """Its records' roles among the inputs of a table."""
        return [
            f"record/{name}/{seed}" for name in dict.fromkeys((*self.encoders, *self.trainings)) for seed in self.seeds
        ]


def shown(columns: Sequence[str], cost: Cost, files: Mapping[str, Path]) -> dict[str, str]:
    """Column → the method's cell; InputError for a file that is not a record."""
    return {column: COLUMNS[column](cost, files) for column in columns}


def _parameters(cost: Cost, files: Mapping[str, Path]) -> str:
    return _amount(_sum(cost, files, "parameters"), "")


def _operations(cost: Cost, files: Mapping[str, Path]) -> str:
    return _amount(_sum(cost, files, "operations"), "FLOP")


def _training(cost: Cost, files: Mapping[str, Path]) -> str:
    if not cost.trainings:
        return ""
    return duration(
        mean_std(
            [sum(training_seconds(files[f"record/{name}/{seed}"])[0] for name in cost.trainings) for seed in cost.seeds]
        )[0]
    )


COLUMNS = {"parameters": _parameters, "operations": _operations, "training": _training}


def _sum(cost: Cost, files: Mapping[str, Path], fact: str) -> float | None:
    """Sum over all encoders; None if a record lacks it."""
    found = [_noted(files[f"record/{name}/{cost.seeds[0]}"], fact) for name in cost.encoders]
    known = [value for value in found if value is not None]
    return sum(known) if len(known) == len(found) else None


def _noted(path: Path, fact: str) -> float | None:
    record: Any = read_json(path)
    try:
        value = record["notes"].get("encoder", {}).get(fact)
        return None if value is None else float(value)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{path} is not the record of an encoder ({error!r}): train again") from None


def _amount(value: float | None, unit: str) -> str:
    """Format as 1.2 M or 34 GFLOP; "" without an encoder."""
    if value is None:
        return UNKNOWN
    if value == 0:
        return ""
    size, letter = next(
        ((size, letter) for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")) if value >= size), (1.0, "")
    )
    amount = value / size
    return f"{amount:.3g} {letter}{unit}".rstrip()
