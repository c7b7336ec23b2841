"""Evaluation on your own clips: cross-validates all classifiers, chooses the best, and estimates the gain from more
clips.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from stars.evaluation.calibration import Reliability, probabilities, reliability, temperature
from stars.evaluation.folds import folds, interval
from stars.evaluation.statistics import paired_p
from stars.inference.labelled import Labelled
from stars.inference.methods import METHODS, NEVER, Method

if TYPE_CHECKING:
    import pandas as pd

FALSE_ALARMS = 0.05  # allowed share of known clips classified as none of the actions
DRAWS = 10  # minimum number of trainings per point of the learning curve
Scorer = Callable[[np.ndarray, np.ndarray], np.ndarray]  # (training rows, tested rows) → (tested, classes)


@dataclass(frozen=True, eq=False)
class Outcome:
    """A classifier's cross-validated scores for every clip.

    Attributes:
        name, title: of the classifier; scores: (N, classes); right: (N,) bool; probability: (N, classes), each with the
            other folds' temperature.
    """

    name: str
    title: str
    scores: np.ndarray
    right: np.ndarray
    probability: np.ndarray
    interval95: list[float]

    @property
    def accuracy(self) -> float:
        """Accuracy in percent."""
        return 100 * float(self.right.mean())

    @property
    def predicted(self) -> np.ndarray:
        """Predicted action of each clip, (N,)."""
        return self.scores.argmax(axis=1)


class Unknown(NamedTuple):
    """Detection of unknown actions: share classified as "none of these" at a given share of false alarms."""

    false_alarms: float
    found: float
    clips: int


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Results of an evaluation.

    Attributes:
        fold: (N,); outcomes: by name; chosen: the classifier to use; honest: accuracy of the choice in percent, by
            nested cross-validation.
        curve: (clips per action, accuracy in percent) of the chosen one; unknown: of the chosen one, None with fewer
            than three actions.
    """

    labelled: Labelled
    fold: np.ndarray
    outcomes: dict[str, Outcome]
    chosen: str
    honest: float
    curve: list[tuple[int, float]]
    unknown: Unknown | None

    @property
    def best(self) -> Outcome:
        """The chosen classifier's outcome."""
        return self.outcomes[self.chosen]

    @property
    def reliability(self) -> Reliability:
        """Calibration of the chosen classifier's probabilities."""
        return reliability(self.best.probability.max(axis=1), self.best.right)

    def p_value(self) -> float | None:
        """p-value of the difference between the chosen and the next best; None without another."""
        others = sorted(
            (one for one in self.outcomes.values() if one.name != self.chosen), key=lambda one: -one.accuracy
        )
        return paired_p(self.best.right, others[0].right) if others else None

    def methods(self) -> pd.DataFrame:
        """One row per classifier: accuracy and its interval, in percent."""
        import pandas as pd

        rows = [(one.title, one.accuracy, *one.interval95, one.name == self.chosen) for one in self.outcomes.values()]
        return pd.DataFrame(rows, columns=["classifier", "accuracy", "low", "high", "chosen"])

    def per_action(self) -> pd.DataFrame:
        """One row per action: clips, and recall, precision and F1 of the chosen classifier, in percent; precision is
        empty without predictions.
        """
        import pandas as pd

        truth, said = self.labelled.labels, self.best.predicted
        rows = []
        for number, action in enumerate(self.labelled.actions):
            hits, clips, answers = (
                ((truth == number) & (said == number)).sum(),
                (truth == number).sum(),
                (said == number).sum(),
            )
            precision = 100 * hits / answers if answers else float("nan")
            rows.append((action, int(clips), 100 * hits / clips, precision, 200 * hits / (clips + answers)))
        return pd.DataFrame(rows, columns=["action", "clips", "recall", "precision", "f1"])

    def forecast(self) -> float | None:
        """Extrapolated accuracy in percent for twice the clips; None with fewer than three points."""
        clips, accuracy = np.array(self.curve, float).reshape(-1, 2).T
        if len(clips) < 3:
            return None
        errors = np.log(np.maximum(100 - accuracy[-3:], 0.1))
        slope = min(float(np.polyfit(np.log(clips[-3:]), errors, 1)[0]), 0.0)
        return float(100 - (100 - accuracy[-1]) * 2.0**slope)


def evaluate(
    labelled: Labelled, methods: Sequence[Method] = METHODS, more: Sequence[tuple[str, str, Scorer]] = ()
) -> Evaluation:
    """Cross-validate classifiers on labelled clips, by subject if known.

    Args:
        methods: classifiers of vectors, simplest first; ties go to the first.
        more: further classifiers as (name, title, scorer); reported, never chosen.

    Raises:
        InputError: too few clips.
    """
    labels, groups = labelled.labels, labelled.groups
    fold = folds(labels, groups)
    scorers = [(one.name, one.title, _scorer(one, labelled)) for one in methods]
    outcomes = {name: _outcome(name, title, scorer, labelled, fold) for name, title, scorer in (*scorers, *more)}
    quick = [outcomes[one.name] for one in methods]
    best = max(quick, key=lambda one: one.accuracy)
    chosen = next(one for one in methods if one.name == best.name)
    scorer = _scorer(chosen, labelled)
    honest = _of_the_choice(quick, [_scorer(one, labelled) for one in methods], labels, fold)
    curve = _curve(scorer, labels, fold)
    return Evaluation(labelled, fold, outcomes, chosen.name, honest, curve, _unknown(scorer, labels, fold, best.scores))


def threshold(scores: np.ndarray, false_alarms: float) -> float:
    """The top score below which `false_alarms` of the known clips lie; cross-validated scores (N, classes)."""
    return float(np.quantile(scores.max(axis=1), false_alarms))


def _scorer(method: Method, labelled: Labelled) -> Scorer:
    vectors, labels, classes = labelled.vectors[method.vectors], labelled.labels, len(labelled.actions)
    return lambda train, test: method.fit(vectors[train], labels[train], classes).scores(vectors[test])


def _outcome(name: str, title: str, scorer: Scorer, labelled: Labelled, fold: np.ndarray) -> Outcome:
    labels = labelled.labels
    scores = np.full((len(labels), len(labelled.actions)), NEVER)
    for number in np.unique(fold):
        scores[fold == number] = scorer(np.flatnonzero(fold != number), np.flatnonzero(fold == number))
    right = scores.argmax(axis=1) == labels
    probability = np.zeros_like(scores)
    for number in np.unique(fold):
        learnt = temperature(scores[fold != number], labels[fold != number])
        probability[fold == number] = probabilities(scores[fold == number], learnt)
    return Outcome(name, title, scores, right, probability, interval(right, labelled.groups))


def _of_the_choice(
    outcomes: Sequence[Outcome], scorers: Sequence[Scorer], labels: np.ndarray, fold: np.ndarray
) -> float:
    """Accuracy of the choice in percent by nested cross-validation: a fold's clips are not used to choose its
    classifier.

    With two folds, the other fold's outcome chooses.
    """
    tested = [np.flatnonzero(fold == number) for number in np.unique(fold)]
    # correct clips of each classifier in the other folds, by fold left out
    hits = np.zeros((len(outcomes), len(tested)))
    for one, other in combinations(range(len(tested)), 2):
        rows = np.concatenate([tested[one], tested[other]])
        train = np.setdiff1d(np.arange(len(fold)), rows)
        for place, scorer in enumerate(scorers):
            right = scorer(train, rows).argmax(axis=1) == labels[rows] if len(train) else outcomes[place].right[rows]
            hits[place, [one, other]] += right[len(tested[one]) :].sum(), right[: len(tested[one])].sum()
    chosen = hits.argmax(axis=0)
    return (
        100
        * sum(int(outcomes[place].right[rows].sum()) for place, rows in zip(chosen, tested, strict=True))
        / len(fold)
    )


def _curve(scorer: Scorer, labels: np.ndarray, fold: np.ndarray) -> list[tuple[int, float]]:
    """(clips per action, accuracy in percent) for 1, 2, 4, … training clips per action, up to the median action's
    number.
    """
    numbers = np.unique(fold)
    most = max(
        1, int(np.median([np.bincount(labels[fold != number], minlength=labels.max() + 1) for number in numbers]))
    )
    sizes = [*(2**power for power in range(20) if 2**power < most), most]
    draws = -(-DRAWS // len(numbers))
    found = []
    for size in sizes:
        right = 0
        for number in numbers:
            for draw in range(draws):
                rows = _few(labels, np.flatnonzero(fold != number), size, np.random.default_rng((int(number), draw)))
                tested = np.flatnonzero(fold == number)
                right += int((scorer(rows, tested).argmax(axis=1) == labels[tested]).sum())
        found.append((size, 100 * right / (draws * len(labels))))
    return found


def _few(labels: np.ndarray, rows: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """At most `size` rows of each action."""
    mixed = rng.permutation(rows)
    return np.sort(np.concatenate([mixed[labels[mixed] == label][:size] for label in np.unique(labels[mixed])]))


def _unknown(scorer: Scorer, labels: np.ndarray, fold: np.ndarray, scores: np.ndarray) -> Unknown | None:
    """Leave out each action in turn from training, in one fold; its clips in that fold should be detected as
    unknown.
    """
    if len(np.unique(labels)) < 3:
        return None
    least, tops = threshold(scores, FALSE_ALARMS), []
    for label in np.unique(labels):
        places, counts = np.unique(fold[labels == label], return_counts=True)
        number = places[counts.argmax()]
        train, test = (
            np.flatnonzero((fold != number) & (labels != label)),
            np.flatnonzero((fold == number) & (labels == label)),
        )
        if len(train):
            tops += scorer(train, test).max(axis=1).tolist()
    return Unknown(FALSE_ALARMS, float((np.array(tops) < least).mean()), len(tops)) if tops else None
