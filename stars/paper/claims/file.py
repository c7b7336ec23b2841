"""The claims file (config/claims.yaml): one comparison per claim, with its source in the paper."""

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
    """The method with the largest or smallest value of one setting, among those that differ from `of` only in it."""

    vary: str = key(..., "dotted key of the setting, e.g. tune.layer_decay")
    of: str = key("stars", "the method that is varied")
    take: Literal["largest", "smallest"] = key(..., "value taken; if `of` has it itself, there is nothing to compare")


class Claim(Settings):
    """A statement of the paper about two methods."""

    says: str = key(..., "the claim in words")
    source: str = key(..., "its table, figure or section in the paper")
    method: str | Varied = key(..., "method that the claim is about: its key, or what varies")
    against: str | Varied = key(..., "method it is compared with")
    measure: Measure = key(
        ...,
        "what is compared: accuracy of a protocol; a measure of clusters, as in knn's metrics; training_time, by how"
        " many percent the first method's trainings take longer than the second's",
    )
    expect: Expected = key(
        ..., "claimed direction of the difference; equal: smaller than `matters`; at_most: at most `matters`"
    )
    matters: Positive = key(
        ..., "smallest difference that matters: points of accuracy or percent, hundredths of other measures"
    )
    k: Count = key(1, "knn: neighbours, one of knn.k")
    shots: Count = key(1, "few_shot: labelled clips per class, one of few_shot.shots")
    reading: Literal["exemplars", "neighbours"] = key(
        "exemplars", "few_shot: reading of the protocol, one of few_shot.readings"
    )
    fraction: Fraction | None = key(None, "semi: share of labels, one of semi.fractions; null: the first")
    runs: tuple[str, ...] | None = key(
        None,
        "runs it is tested on, as {data}_{split}; null: those of the paper's table (`runs` of that table)",
    )

    @model_validator(mode="after")
    def _direction_fits(self) -> Claim:
        if (self.expect == "at_most") != (self.measure == "training_time"):
            raise ValueError("expect: at_most and measure: training_time require each other")
        return self

    @property
    def protocol(self) -> str:
        """Protocol whose results are compared; knn computes the measures of clusters."""
        return "knn" if self.measure in (*CLUSTERS, "training_time") else self.measure


def load(path: Path | str) -> dict[str, Claim]:
    """Claims by name; InputError for an invalid file or claim."""
    told = read_yaml(path)
    if not told:
        raise InputError(f"{path} contains no claim: add one as in docs/claims.md")
    return {name: validate(Claim, block, str(path), str(name)) for name, block in told.items()}
