"""The claims file (config/claims.yaml): a comparison each, with the sentence or table of the paper that it is taken
from.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import model_validator

from stars.config.base import Count, Fraction, Positive, Settings, key
from stars.config.reading import read_yaml, validate
from stars.errors import InputError

Measure = Literal[
    "knn",
    "linear",
    "finetune",
    "semi",
    "transfer",
    "few_shot",
    "silhouette",
    "nmi",
    "ari",
    "between_within",
    "same_camera",
    "same_subject",
    "same_bodies",
    "training_time",
]
Expected = Literal["higher", "lower", "equal", "at_most"]
CLUSTERS = ("silhouette", "nmi", "ari", "between_within", "same_camera", "same_subject", "same_bodies")


class Varied(Settings):
    """The method that gives one setting its largest or smallest value, of all that differ from another method in
    that setting alone.
    """

    vary: str = key(..., "dotted key of the setting, e.g. tune.layer_decay")
    of: str = key("stars", "the method that is varied")
    take: Literal["largest", "smallest"] = key(
        ..., "value taken; where `of` has it itself, there is nothing to compare"
    )


class Claim(Settings):
    """What the paper says of two methods."""

    says: str = key(..., "the claim in words")
    source: str = key(..., "where the paper says so: table, figure, section")
    method: str | Varied = key(..., "method that the claim is about: its key, or what varies")
    against: str | Varied = key(..., "method it is compared with")
    measure: Measure = key(
        ...,
        "what is compared: accuracy of a protocol; a measure of clusters, as in the metrics of knn; training_time, the"
        " percent by which the trainings behind the first take longer than those behind the second",
    )
    expect: Expected = key(
        ..., "direction that the paper gives the difference; equal: none that matters; at_most: no more than `matters`"
    )
    matters: Positive = key(
        ..., "smallest difference that matters: points of accuracy or percent, hundredths of other measures"
    )
    k: Count = key(1, "knn: neighbours, one of knn.k")
    shots: Count = key(1, "few_shot: labelled clips a class, one of few_shot.shots")
    reading: Literal["exemplars", "neighbours"] = key(
        "exemplars", "few_shot: reading of the protocol, one of few_shot.readings"
    )
    fraction: Fraction | None = key(None, "semi: share of labels, one of semi.fractions; null: the first")
    runs: tuple[str, ...] | None = key(
        None,
        "trainings it is tested on, as {data}_{split}; null: what the paper's table of it shows (`runs` of that table)",
    )

    @model_validator(mode="after")
    def _direction_fits(self) -> Claim:
        if (self.expect == "at_most") != (self.measure == "training_time"):
            raise ValueError("expect: at_most goes with measure: training_time, and with nothing else")
        return self

    @property
    def protocol(self) -> str:
        """Protocol whose results are compared; measures of clusters come with knn."""
        return "knn" if self.measure in (*CLUSTERS, "training_time") else self.measure


def load(path: Path | str) -> dict[str, Claim]:
    """Claims by name; InputError in one line for a file or a claim that is not right."""
    told = read_yaml(path)
    if not told:
        raise InputError(f"{path}: holds no claim: add one as docs/claims.md shows")
    return {name: validate(Claim, block, str(path), str(name)) for name, block in told.items()}
