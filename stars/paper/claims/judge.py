"""The verdict on each claim, computed from predictions and records, as a table and a forest plot."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from stars.config import Settings, key
from stars.errors import InputError
from stars.evaluation import clusters
from stars.evaluation.statistics import DRAWS, share_right
from stars.paper.claims import forest
from stars.paper.claims.effects import FEW, LEVEL, Effect, holm, of_means, of_statistic, of_values, p_value, verdict
from stars.paper.claims.file import Expected, Measure
from stars.paper.grid import Cell, Column, Row, Table
from stars.paper.inputs import write_csv
from stars.paper.render import as_latex, as_markdown
from stars.paper.times import training_seconds
from stars.paper.web import as_html
from stars.provenance.files import read_npz, write_json, write_text
from stars.provenance.record import recording

FILES = tuple(f"claims.{ending}" for ending in ("csv", "json", "md", "tex", "html", "svg", "png"))
SHOWN = 60  # clips listed of those that only one method classifies correctly
CLAIMED = {"higher": "above 0", "lower": "below 0", "equal": "within", "at_most": "at most"}
NOTES = (
    (
        "Difference: first method minus second, in points of accuracy, percent, or hundredths of other measures, with"
        f" its 95 % interval over clips and trainings (paired bootstrap, {DRAWS:,} draws; for NMI, ARI and the ratio of"
        f" distances, {FEW} resamples of clips). With one training, the interval covers only clips, and training time"
        " has none."
    ),
    (
        f"Verdict at level {LEVEL:g}, with p-values corrected for the number of tests (Holm). Supported: the difference"
        " is as claimed. No difference: it is significantly smaller than what matters. Contradicted: it is"
        " significantly contrary to the claim. Cannot tell: none of these."
    ),
    (
        "Null hypothesis of p: for a direction, no difference; for “within”, a difference that matters (TOST); for “at"
        " most”, a larger difference."
    ),
    (
        "Could be seen: the smallest true difference that this many clips and trainings detect with a probability of"
        " 80 %, before correction."
    ),
)


class Test(Settings):
    """A claim on one run."""

    claim: str = key(..., "its name in the claims file")
    says: str = key(..., "the claim in words")
    source: str = key(..., "its place in the paper")
    measure: Measure = key(..., "what is compared")
    expect: Expected = key(..., "claimed direction")
    matters: float = key(..., "smallest difference that matters")
    reason: str = key("", "why it is not tested; all following keys are then empty")
    run: str = key("", "{data}_{split} of the test clips")
    where: str = key("", "data set and split in words")
    what: str = key("", "what is compared, in words")
    methods: tuple[str, ...] = key((), "names of the two methods")
    arrays: tuple[str, ...] = key((), "arrays of predictions.npz that are compared with the labels")
    trainings: tuple[tuple[str, ...], ...] = key((), "trainings of each method, if their time is compared")


# names of clips that the first method, and those that the second method classifies correctly more often
Apart = tuple[tuple[str, ...], tuple[str, ...]]


class ClaimsStage(Settings):
    """Settings of the stage `claims`."""

    tests: tuple[Test, ...] = key(..., "claims, once per run", min_length=1)
    seeds: tuple[int, ...] = key(..., "seeds of training", min_length=1)


class Found(Settings):
    """Result of a test."""

    difference: float = key(..., "first minus second")
    low: float = key(..., "lower end of the 95 % interval")
    high: float = key(..., "upper end")
    trainings: tuple[float, ...] = key(..., "difference of each pair of trainings")
    clips: int = key(..., "test clips; 0: times are compared")
    p: float = key(..., "p-value")
    corrected: float = key(..., "p-value corrected for the number of tests")
    verdict: str = key(..., "supported, contradicted, no difference or cannot tell")
    seen: float = key(..., "smallest true difference that would be detected with a probability of 80 %")
    gained: tuple[str, ...] = key((), "clips that the first method classifies correctly more often")
    lost: tuple[str, ...] = key((), "clips that the second method classifies correctly more often")


def judge(settings: ClaimsStage, files: Mapping[str, Path], out: Path) -> None:
    """Write the table as out/claims.csv, .json, .md, .tex and .html, the forest plot as claims.svg and .png, and
    record.json.

    Args:
        files: {test}/{first or second}/{seed} → predictions.npz; {test}/{side}/{seed}/{training} → record.json of a
            training.

    Raises:
        InputError: a file is missing, or two methods have different test clips.
    """
    with recording(out, __name__, settings.model_dump(mode="json"), files, FILES):
        rows = [*zip(settings.tests, _found(settings, files), strict=True)]
        write_csv(out / "claims.csv", _as_frame(rows))
        write_json(out / "claims.json", _as_plain(rows, files))
        drawn = _table(rows)
        for ending, text in (("md", as_markdown), ("tex", as_latex), ("html", as_html)):
            write_text(out / f"claims.{ending}", text(drawn))
        forest.draw([(test, found) for test, found in rows if found], out / "claims")


def _found(settings: ClaimsStage, files: Mapping[str, Path]) -> list[Found | None]:
    """A result for each test; None if it is not tested."""
    results: list[tuple[Effect, int, Apart] | None] = []
    for number, test in enumerate(settings.tests):
        results.append(None if test.reason else _measured(test, number, settings.seeds, files))
    pairs = [(test, one[0]) for test, one in zip(settings.tests, results, strict=True) if one]
    p_values = [p_value(effect, test.expect, test.matters) for test, effect in pairs]
    corrected = iter(zip(p_values, holm(p_values), strict=True))
    return [
        None if one is None else _as_found(test, *one, *next(corrected))
        for test, one in zip(settings.tests, results, strict=True)
    ]


def _as_found(test: Test, effect: Effect, clips: int, names: Apart, p: float, corrected: float) -> Found:
    low, high = effect.interval
    return Found(
        difference=round(effect.value, 6),
        low=round(low, 6),
        high=round(high, 6),
        trainings=tuple(round(value, 6) for value in effect.trainings),
        clips=clips,
        p=round(p, 6),
        corrected=round(corrected, 6),
        verdict=verdict(effect, test.expect, test.matters, corrected),
        seen=round(effect.seen, 6),
        gained=names[0],
        lost=names[1],
    )


def _measured(test: Test, number: int, seeds: Sequence[int], files: Mapping[str, Path]) -> tuple[Effect, int, Apart]:
    """The effect, the number of clips, and the clips that only one method classifies correctly."""
    if test.measure == "training_time":
        times = [
            [sum(_seconds(files, number, side, seed, of)) for seed in seeds]
            for side, of in zip(SIDES, test.trainings, strict=True)
        ]
        return of_values([100 * (first / second - 1) for first, second in zip(*times, strict=True)]), 0, ((), ())
    paths = [[files[f"{number}/{side}/{seed}"] for seed in seeds] for side in SIDES]
    if test.arrays:
        names, (first_sn, second_sn) = _accuracies(paths, test.arrays)
        effect = of_means(100 * first_sn, 100 * second_sn, largest=100)
        return effect, len(names), _apart(names, (first_sn - second_sn).mean(axis=0))
    return *_clustered(paths, test.measure), ((), ())


SIDES = ("first", "second")


def _seconds(files: Mapping[str, Path], number: int, side: str, seed: int, trainings: Sequence[str]) -> list[float]:
    return [training_seconds(files[f"{number}/{side}/{seed}/{one}"])[0] for one in trainings]


def _accuracies(paths: Sequence[Sequence[Path]], arrays: Sequence[str]) -> tuple[np.ndarray, list[np.ndarray]]:
    """Names of the clips (N,), and per side (S, N): the share of repetitions in which a training classifies a clip
    correctly.
    """
    read = [[read_npz(path, ("name", "label", *arrays)) for path in side] for side in paths]
    names = _same(paths, read)
    right = [
        [share_right(np.stack([one[array] == one["label"] for array in arrays], axis=1)) for one in side]
        for side in read
    ]
    return names, [np.stack(side) for side in right]


def _same(paths: Sequence[Sequence[Path]], read: Sequence[Sequence[Mapping[str, np.ndarray]]]) -> np.ndarray:
    names = read[0][0]["name"]
    for path, one in zip(
        [path for side in paths for path in side], [one for side in read for one in side], strict=True
    ):
        if not np.array_equal(one["name"], names):
            raise InputError(f"{path} and {paths[0][0]} have different test clips: run the protocol of both again")
    return names


def _clustered(paths: Sequence[Sequence[Path]], measure: str) -> tuple[Effect, int]:
    """The difference of a measure of clusters, in hundredths."""
    needed = {"nmi": ("cluster",), "ari": ("cluster",), "between_within": ("between", "within")}.get(
        measure, (measure,)
    )
    read = [[read_npz(path, ("name", "label", *needed)) for path in side] for side in paths]
    names = _same(paths, read)
    if measure not in ("nmi", "ari", "between_within"):
        first_sn, second_sn = (100 * np.stack([np.asarray(one[measure], float) for one in side]) for side in read)
        return of_means(first_sn, second_sn, largest=100 if measure.startswith("same_") else 0), len(names)
    first, second = read
    difference = partial(_difference, first, second, measure)
    return of_statistic(difference, len(first), len(names)), len(names)


def _difference(
    first: Sequence[Mapping[str, np.ndarray]],
    second: Sequence[Mapping[str, np.ndarray]],
    measure: str,
    training: int,
    rows: np.ndarray,
) -> float:
    values = [
        clusters.statistic(measure, {name: one[name][rows] for name in one}, one["label"][rows])
        for one in (first[training], second[training])
    ]
    return 100 * (values[0] - values[1])


def _apart(names: np.ndarray, difference_n: np.ndarray) -> Apart:
    """Names of the clips whose share of correct trainings differs most, in favour of the first and of the second
    method.
    """
    order = np.argsort(-np.abs(difference_n), kind="stable")
    gained, lost = (tuple(str(names[at]) for at in order if sign * difference_n[at] > 0)[:SHOWN] for sign in (1, -1))
    return gained, lost


Rows = Sequence[tuple[Test, Found | None]]


def _as_frame(rows: Rows) -> pd.DataFrame:
    lines = []
    for test, found in rows:
        line = test.model_dump(exclude={"arrays", "trainings", "methods"})
        line |= {"method": test.methods[0], "against": test.methods[1]} if test.methods else {}
        line |= found.model_dump(exclude={"gained", "lost", "trainings"}) if found else {"verdict": "not tested"}
        lines.append(line | {"trainings": ";".join(map(str, found.trainings)) if found else ""})
    return pd.DataFrame(lines)


def _as_plain(rows: Rows, files: Mapping[str, Path]) -> dict[str, Any]:
    told = []
    for number, (test, found) in enumerate(rows):
        read = [str(path) for role, path in files.items() if role.startswith(f"{number}/")]
        told.append(
            {
                **test.model_dump(mode="json"),
                "files": read,
                "found": found.model_dump(mode="json") if found else None,
                **_texts(test, found),
            }
        )
    return {
        "claims": told,
        "notes": list(NOTES),
        "counts": dict(Counter(found.verdict if found else "not tested" for _, found in rows)),
    }


def _texts(test: Test, found: Found | None) -> dict[str, str]:
    """Texts of the table's cells."""
    claimed = CLAIMED[test.expect] + (
        f" ± {test.matters:g}" if test.expect == "equal" else f" {test.matters:g}" if test.expect == "at_most" else ""
    )
    if found is None:
        return {"claimed": claimed, "compared": "", "difference": "", "p": "", "verdict": "not tested", "seen": ""}
    interval = f" [{_signed(found.low)}, {_signed(found.high)}]" if found.clips or len(found.trainings) > 1 else ""
    return {
        "claimed": claimed,
        "compared": f"{test.methods[0]} − {test.methods[1]}",
        "difference": _signed(found.difference) + interval,
        "p": "< 0.001" if found.corrected < 0.001 else f"{found.corrected:.3f}",
        "verdict": found.verdict,
        "seen": "–" if test.expect == "at_most" else f"{found.seen:.1f}",
    }


def _signed(value: float) -> str:
    shown = round(value, 1) + 0.0
    return (f"{shown:+.1f}" if shown else "0.0").replace("-", "−")


STUBS = ("verdict", "compared", "claimed")
COLUMNS = {"difference": "difference", "p": "p, corrected", "seen": "could be seen"}


def _table(rows: Rows) -> Table:
    drawn = []
    for test, found in rows:
        texts = _texts(test, found)
        compared = f"{texts['compared']}, {test.what}, {test.where}" if found else ""
        stub = {"verdict": texts["verdict"], "compared": compared, "claimed": texts["claimed"]}
        cells = {name: Cell(words=texts[name]) for name in COLUMNS}
        if not found:
            cells["difference"] = Cell(reason=f"{test.claim}: {test.reason}.")
        drawn.append(Row("this run", "", f"{test.says} ({test.source})", cells, stub=stub, recipe=test.claim))
    caption = f"The paper's claims: {sum(found is not None for _, found in rows)} tests"
    columns = tuple(Column(name, "", words, published=False) for name, words in COLUMNS.items())
    return Table("claims", caption, STUBS, columns, tuple(drawn), NOTES, first="Claim", cites=False)
