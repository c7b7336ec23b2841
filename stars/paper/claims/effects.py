"""The difference between two methods, its uncertainty, and the verdict on a claim.

Both methods are scored on the same N clips in S trainings each; training s of one is paired with training s of the
other (same seed, and same stage 1 if one starts from the other). Clips and trainings are both treated as samples, so
an interval covers other clips of this kind and other seeds. Draws of the difference are

    mean + √(S / (S − 1)) · (mean of S trainings drawn with replacement − mean) + (mean of N clips drawn with
    replacement − mean),

without the second term if S is 1. The factor corrects the variance, which resampling a few trainings understates.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from stars.evaluation.statistics import DRAWS, resampled_means
from stars.paper.claims.file import Expected

FEW = 500  # resamples of clips for a statistic that is not a mean over clips
LEVEL = 0.05
POWER = 1.959964 + 0.841621  # standard errors of a difference detected at LEVEL with a power of 80 %

Verdict = Literal["supported", "contradicted", "no difference", "cannot tell"]


@dataclass(frozen=True)
class Effect:
    """A difference, first minus second.

    Attributes:
        value: the difference; trainings: that of each pair of trainings; draws: bootstrap draws.
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
        """The smallest true difference that would be detected with a power of 80 %, from the draws' spread."""
        return POWER * float(self.draws.std())

    @property
    def p_difference(self) -> float:
        """Two-sided p-value for no difference."""
        return min(1.0, 2 * min(self._share(self.draws <= 0), self._share(self.draws >= 0)))

    def p_beyond(self, bound: float) -> float:
        """p-value for a difference of at least `bound`."""
        return self._share(self.draws >= bound)

    def p_apart(self, bound: float) -> float:
        """p-value for a difference of at least `bound` in either direction: the larger of two one-sided ones (TOST)."""
        return max(self._share(self.draws >= bound), self._share(self.draws <= -bound))

    @staticmethod
    def _share(draws: np.ndarray) -> float:
        return (int(draws.sum()) + 1) / (len(draws) + 1)


def of_means(first_sn: np.ndarray, second_sn: np.ndarray, largest: float = 0.0, seed: int = 0) -> Effect:
    """The difference of two means over clips.

    Args:
        first_sn, second_sn: (S, N) value of each clip in each training.
        largest: for right or wrong values, the largest difference of a clip: the spread then includes two more clips,
            one for either method (Agresti and Min, 2005, for paired proportions), so that a few equal clips are no
            proof of equality.
    """
    difference_sn = first_sn - second_sn
    values_n = difference_sn.mean(axis=0).round(12)
    values_n = np.append(values_n, [largest, -largest]) if largest else values_n
    clips = resampled_means(values_n, seed) - values_n.mean()
    return _effect(difference_sn.mean(axis=1), clips, seed)


def of_statistic(statistic: Callable[[int, np.ndarray], float], trainings: int, clips: int, seed: int = 0) -> Effect:
    """The difference of a statistic that is not a mean over clips.

    Args:
        statistic: (training, rows) → difference between the two methods on these clips; rows (N,) may repeat.
    """
    random, every = np.random.default_rng(seed), np.arange(clips)
    values = np.array([statistic(training, every) for training in range(trainings)])
    drawn = [random.integers(0, clips, clips) for _ in range(FEW)]
    means = np.array([np.mean([statistic(training, rows) for training in range(trainings)]) for rows in drawn])
    return _effect(values, means - means.mean(), seed)


def of_values(values_s: Sequence[float], seed: int = 0) -> Effect:
    """The difference of a quantity with one value per pair of trainings, such as a ratio of times."""
    return _effect(np.asarray(values_s, float), np.zeros(1), seed)


def _effect(values_s: np.ndarray, clips: np.ndarray, seed: int) -> Effect:
    """`clips`: draws of the clips' contribution."""
    mean, count = float(values_s.mean()), len(values_s)
    random = np.random.default_rng(seed + 1)
    trainings = np.zeros(DRAWS)
    if count > 1:
        drawn = values_s[random.integers(0, count, (DRAWS, count))].mean(axis=1)
        trainings = np.sqrt(count / (count - 1)) * (drawn - mean)
    return Effect(mean, tuple(map(float, values_s)), (mean + trainings + random.choice(clips, DRAWS)).round(9))


def holm(values: Sequence[float]) -> list[float]:
    """p-values corrected for multiple tests (Holm, 1979), in the order given."""
    order, corrected, most = np.argsort(values, kind="stable"), [0.0] * len(values), 0.0
    for place, index in enumerate(order):
        most = max(most, min(1.0, (len(values) - place) * values[index]))
        corrected[index] = most
    return corrected


def p_value(effect: Effect, expect: Expected, matters: float) -> float:
    """The p-value of a claim; its null hypothesis is that the claim is wrong."""
    if expect == "equal":
        return effect.p_apart(matters)
    return effect.p_beyond(matters) if expect == "at_most" else effect.p_difference


def verdict(effect: Effect, expect: Expected, matters: float, corrected: float) -> Verdict:
    """The verdict on a claim; `corrected`: its p-value after `holm`.

    A difference that is significantly smaller than `matters` counts as none, even if it is significantly not zero.
    """
    if expect == "at_most" and len(effect.trainings) < 2:
        return "cannot tell"  # one training's time has no spread
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
