"""The results that a claim is tested on: every run of this configuration on which its protocol evaluates both methods."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stars.config import Claims, Config
from stars.config.reading import nearest, read_yaml
from stars.errors import InputError
from stars.paper.claims.file import CLUSTERS, Claim, Varied, load
from stars.paper.sources.common import Drawing, place, title, titles
from stars.paper.sources.figures import varied
from stars.paper.sources.hyperparameters import flat
from stars.paper.sources.tables import COLUMNS, Shown, knn_columns
from stars.pipeline import configuration, layout
from stars.pipeline.descriptions import find

NUMBERS = {"linear": 1, "knn": 2, "finetune": 3, "transfer": 4, "few_shot": 5, "semi": 9}
WORDS = {
    "knn": "KNN",
    "linear": "linear",
    "finetune": "fine-tuned",
    "semi": "semi-supervised",
    "transfer": "transfer",
    "few_shot": "few-shot",
    "silhouette": "silhouette",
    "nmi": "NMI of k-means",
    "ari": "ARI of k-means",
    "between_within": "distance between / within classes",
    "same_camera": "neighbours of the same camera, %",
    "same_subject": "neighbours of the same person, %",
    "same_bodies": "neighbours with as many people, %",
    "training_time": "training time, % more",
}


def claims(config: Config) -> Drawing:
    """Settings and input files of the stage `claims`.

    Raises InputError if the claims file is missing or names an unknown method, setting or run.
    """
    path = config.claims.file
    told: list[dict[str, Any]] = []
    files: dict[str, str] = {}
    for name, claim in load(path).items():
        for test, reads in _tests(config, name, claim, f"{path}: {name}"):
            number = len(told)
            told.append(test)
            files |= {f"{number}/{role}": file for role, file in reads.items()}
    return Drawing({"tests": told, "seeds": list(config.seeds)}, files)


def claims_if_any(config: Config) -> Drawing | None:
    """`claims`, or None if the project has no claims file and configures none."""
    named = config.claims.file != Claims().file
    return claims(config) if named or Path(config.claims.file).is_file() else None


def _tests(config: Config, name: str, claim: Claim, where: str) -> Iterator[tuple[dict[str, Any], dict[str, str]]]:
    """A claim on each run; if it cannot be tested, once, with the reason."""
    plain = {"claim": name, **claim.model_dump(mode="json", include={"says", "source", "measure", "expect", "matters"})}
    known_runs = ["_".join(run) for run in layout.every_run(config)]
    for run in claim.runs or ():
        if run not in known_runs:
            raise InputError(f"{where}: runs: no run {run}{nearest(run, known_runs)}")
    pair, reason = _pair(config, claim, where)
    reason = reason or _lacking(config, claim)
    shown = (
        [one for one in _columns(config, claim) if claim.runs is None or "_".join(one.run) in claim.runs]
        if not reason
        else []
    )
    reason = reason or _unfit(config, claim, pair, shown)
    if reason:
        yield {**plain, "reason": reason}, {}
        return
    for one in shown:
        yield {**plain, **_words(config, claim, one, pair)}, _files(config, claim, one, pair)


def _lacking(config: Config, claim: Claim) -> str:
    """Why this configuration lacks the results that a claim compares; "" if it has them."""
    if claim.measure == "knn" and claim.k not in config.knn.k:
        return f"knn.k of this configuration lacks {claim.k}"
    if claim.measure == "few_shot" and claim.reading not in config.few_shot.readings:
        return f"few_shot.readings of this configuration lacks {claim.reading}"
    if claim.measure == "few_shot" and claim.shots not in config.few_shot.shots:
        return f"few_shot.shots of this configuration lacks {claim.shots}"
    if claim.measure == "semi" and claim.fraction not in (None, *config.semi.fractions):
        return f"semi.fractions of this configuration lacks {claim.fraction}"
    return ""


def _unfit(config: Config, claim: Claim, pair: list[str], shown: list[Shown]) -> str:
    """Why results of these two methods cannot be compared; "" if they can."""
    if not shown:
        return f"this configuration has no {claim.protocol} results of this kind"
    if claim.measure == "training_time":
        untrained = [one for one in pair if not configuration.trainings(config, shown[0].run[0], one)]
        return f"{untrained[0]} is not trained" if untrained else ""
    for one in pair:
        if one not in layout.evaluated(config, claim.protocol):
            return f"{one} is not evaluated by {claim.protocol} in this configuration"
    if claim.measure not in CLUSTERS and not shown[0].arrays:
        return (
            f"{claim.protocol} stores predictions only of the first output: put encoder first in"
            f" {claim.protocol}.outputs"
        )
    return ""


def _pair(config: Config, claim: Claim, where: str) -> tuple[list[str], str]:
    """Keys of the two methods; or none and the reason."""
    found = []
    for side in ("method", "against"):
        named = getattr(claim, side)
        base = named.of if isinstance(named, Varied) else named
        if base not in config.methods:
            catalogue = {**_catalogue(), **dict.fromkeys(config.methods)}
            if base not in catalogue:
                raise InputError(f"{where}: {side}: no method {base}{nearest(base, catalogue)}")
            return [], f"this configuration has no method {base}"
        if isinstance(named, Varied):
            base = _varied(config, named, f"{where}: {side}")
        found.append(base)
    if found[0] == found[1]:
        setting = next((one.vary for one in (claim.method, claim.against) if isinstance(one, Varied)), "anything")
        return [], f"no other method of this configuration varies {setting} in this direction"
    return found, ""


def _catalogue() -> dict[str, None]:
    """Methods of all recipes."""
    files = sorted(find("recipes", "paper", "recipes").parent.glob("*.yaml"))
    return {name: None for path in files for name in read_yaml(path).get("methods") or {}}


def _varied(config: Config, asked: Varied, where: str) -> str:
    data = next(iter(config.data))
    settings = dict(flat(configuration.method(config, data, asked.of).blocks))
    if asked.vary not in settings:
        raise InputError(f"{where}.vary: {asked.of} has no setting {asked.vary}{nearest(asked.vary, settings)}")
    if not isinstance(settings[asked.vary], int | float):
        raise InputError(
            f"{where}.vary: {asked.vary} is not a number, so no value is the {asked.take}: name a method instead"
        )
    points = varied(config, data, asked.of, asked.vary)
    found: str = (max if asked.take == "largest" else min)(points, key=lambda point: point["value"])["method"]
    return found


def _columns(config: Config, claim: Claim) -> list[Shown]:
    """Columns that the claim is tested on: those of the paper's table or, if a setting is varied, Figure 3's run."""
    number = 6 if claim.measure == "knn" and claim.k == 10 else NUMBERS[claim.protocol]
    columns = knn_columns(claim.k) if claim.protocol == "knn" else COLUMNS[number]
    every = columns(config, getattr(config, f"table{number}").runs)
    if isinstance(claim.method, Varied) or isinstance(claim.against, Varied):
        every = [one for one in every if one.run == place(config, config.fig3)]
    if claim.measure == "few_shot":
        variant = f"{claim.shots}shot" if claim.reading == "exemplars" else f"{claim.k}nn"
        return [one for one in every if str(one.variant).endswith(f"_{variant}")]
    if claim.measure == "semi":
        fraction = claim.fraction if claim.fraction is not None else config.semi.fractions[0]
        return [one for one in every if one.folder == f"semi/{fraction:g}"]
    return every


def _words(config: Config, claim: Claim, shown: Shown, pair: list[str]) -> dict[str, Any]:
    """Texts of a test, and the arrays that it reads."""
    variant = shown.variant_title
    of = {"knn": f", k = {claim.k}", "semi": f", {variant}", "few_shot": f", {variant}", "transfer": f" {variant}"}.get(
        claim.measure, ""
    )
    first, second = (title(config, shown.run[0], one) for one in pair)
    cluster = claim.measure in CLUSTERS
    return {
        "run": f"{shown.data}_{shown.split}",
        "where": " ".join(titles(config, shown.data, shown.split).values()),
        "what": WORDS[claim.measure] + of,
        "methods": [first, second],
        "arrays": [] if cluster or claim.measure == "training_time" else list(shown.arrays),
        "trainings": (
            [list(configuration.trainings(config, shown.run[0], one)) for one in pair]
            if claim.measure == "training_time"
            else []
        ),
    }


def _files(config: Config, claim: Claim, shown: Shown, pair: list[str]) -> dict[str, str]:
    found = {}
    for side, name in zip(("first", "second"), pair, strict=True):
        for seed in config.seeds:
            if claim.measure == "training_time":
                for one in configuration.trainings(config, shown.run[0], name):
                    found[f"{side}/{seed}/{one}"] = f"{layout.method(config, *shown.run, one, seed)}/record.json"
            else:
                found[f"{side}/{seed}"] = (
                    f"{layout.method(config, *shown.run, name, seed)}/{shown.folder}/predictions.npz"
                )
    return found
