"""How large a difference between two methods is, how sure it is, and what that says of a claim.

Both methods were scored on the same N clips in S trainings each, training s of one paired with training s of the other
(the same seed, and the same first stage where one starts from the other). Clips and trainings are both samples: an
interval tells what other clips of this kind and other seeds would give. Draws of the difference are

    mean + √(S / (S − 1)) · (mean of S trainings drawn with replacement − mean) + (mean of N clips drawn with
    replacement − mean),

the first part left out where S is 1. The factor makes the variance over S drawn trainings that of a mean of S, which
plain resampling of a few understates.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from stars.evaluation.statistics import DRAWS, resampled_means
from stars.paper.claims.file import Expected

FEW = 500  # resamples of clips for a statistic that is no mean over clips
LEVEL = 0.05
POWER = 1.959964 + 0.841621  # standard errors of a difference that is found at LEVEL with a power of 80 %

Verdict = Literal["supported", "contradicted", "no difference", "cannot tell"]


@dataclass(frozen=True)
class Effect:
    """A difference, first minus second.

    Attributes:
        value: the difference; trainings: of each pair of trainings; draws: bootstrap draws of it.
    """

    value: float
    trainings: tuple[float, ...]
    draws: np.ndarray

    @property
    def interval(self) -> tuple[float, float]:
        """95 % percentile interval."""
        low, high = np.percentile(self.draws, [2.5, 97.5])
        return float(low), float(high)

    @property
    def seen(self) -> float:
        """The smallest true difference that would be found with a power of 80 %, from the draws' spread."""
        return POWER * float(self.draws.std())

    @property
    def p_difference(self) -> float:
        """Two-sided p-value that there is no difference."""
        return min(1.0, 2 * min(self._share(self.draws <= 0), self._share(self.draws >= 0)))

    def p_beyond(self, bound: float) -> float:
        """p-value that the difference is `bound` or more."""
        return self._share(self.draws >= bound)

    def p_apart(self, bound: float) -> float:
        """p-value that the difference is `bound` or more in either direction: the larger of two one-sided ones
        (TOST).
        """
        return max(self._share(self.draws >= bound), self._share(self.draws <= -bound))

    @staticmethod
    def _share(draws: np.ndarray) -> float:
        return (int(draws.sum()) + 1) / (len(draws) + 1)


def of_means(first_sn: np.ndarray, second_sn: np.ndarray, largest: float = 0.0, seed: int = 0) -> Effect:
    """The difference of two means over clips.

    Args:
        first_sn, second_sn: (S, N) value of each clip in each training.
        largest: difference that a clip can make, where values are right or wrong: the spread is then that of the clips
            and two more, one for either method (as Agresti and Min, 2005, for paired proportions), so that few clips
            without a difference prove nothing.
    """
    difference_sn = first_sn - second_sn
    values_n = difference_sn.mean(axis=0).round(12)
    values_n = np.append(values_n, [largest, -largest]) if largest else values_n
    clips = resampled_means(values_n, seed) - values_n.mean()
    return _effect(difference_sn.mean(axis=1), clips, seed)


def of_statistic(statistic: Callable[[int, np.ndarray], float], trainings: int, clips: int, seed: int = 0) -> Effect:
    """The difference of a statistic that is no mean over clips.

    Args:
        statistic: (training, rows) → difference between the two methods on these clips, rows (N,) with repetitions.
    """
    random, every = np.random.default_rng(seed), np.arange(clips)
    values = np.array([statistic(training, every) for training in range(trainings)])
    drawn = [random.integers(0, clips, clips) for _ in range(FEW)]
    means = np.array([np.mean([statistic(training, rows) for training in range(trainings)]) for rows in drawn])
    return _effect(values, means - means.mean(), seed)


def of_values(values_s: Sequence[float], seed: int = 0) -> Effect:
    """A quantity that each pair of trainings has one of, such as a ratio of times."""
    return _effect(np.asarray(values_s, float), np.zeros(1), seed)


def _effect(values_s: np.ndarray, clips: np.ndarray, seed: int) -> Effect:
    """`clips`: draws of what the choice of clips adds."""
    mean, count = float(values_s.mean()), len(values_s)
    random = np.random.default_rng(seed + 1)
    trainings = np.zeros(DRAWS)
    if count > 1:
        drawn = values_s[random.integers(0, count, (DRAWS, count))].mean(axis=1)
        trainings = np.sqrt(count / (count - 1)) * (drawn - mean)
    return Effect(mean, tuple(map(float, values_s)), (mean + trainings + random.choice(clips, DRAWS)).round(9))


def holm(values: Sequence[float]) -> list[float]:
    """p-values corrected for their number (Holm, 1979), in the order given."""
    order, corrected, most = np.argsort(values, kind="stable"), [0.0] * len(values), 0.0
    for place, index in enumerate(order):
        most = max(most, min(1.0, (len(values) - place) * values[index]))
        corrected[index] = most
    return corrected


def p_value(effect: Effect, expect: Expected, matters: float) -> float:
    """The p-value of a claim: that what it says is not so."""
    if expect == "equal":
        return effect.p_apart(matters)
    return effect.p_beyond(matters) if expect == "at_most" else effect.p_difference


def verdict(effect: Effect, expect: Expected, matters: float, corrected: float) -> Verdict:
    """What a difference says of a claim, `corrected` being its p-value after `holm`.

    A difference that is surely smaller than `matters` is none, even where it is surely not zero.
    """
    if expect == "at_most" and len(effect.trainings) < 2:
        return "cannot tell"  # a time of one training has no spread to judge it by
    if expect == "at_most":
        below, above = corrected < LEVEL, effect.interval[0] > matters
        return "supported" if below else "contradicted" if above else "cannot tell"
    low, high = effect.interval
    if expect == "equal":
        apart = low > matters or high < -matters
        return "supported" if corrected < LEVEL else "contradicted" if apart else "cannot tell"
    if effect.p_apart(matters) < LEVEL:
        return "no difference"
    if corrected >= LEVEL:
        return "cannot tell"
    return "supported" if (effect.value > 0) == (expect == "higher") else "contradicted"
