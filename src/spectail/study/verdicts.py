"""The rules by which repeats decide a claim, and how numbers over repeats are written.

Not here: what a claim is (`claims.py`), and what claims measure (`figures/`, `criteria.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtr

LEVEL = 0.05
"""What is "clear": a t-test over repeats, of paired differences where two runs of each are compared, with one degree of
freedom less than there are repeats, would be as far by chance in less than 5 of 100, both sides together. Where any of
several comparisons would decide, Holm's correction is for their number; where all must be clear, none is needed.
"""


class Verdict(StrEnum):
    """What the runs say of a claim."""

    HOLDS = "holds"
    DOES_NOT_HOLD = "does not hold"
    UNDECIDED = "undecided"


def verdict_of(passed: bool) -> Verdict:
    """Holds or does not, where nothing is left to chance."""
    return Verdict.HOLDS if passed else Verdict.DOES_NOT_HOLD


def in_every_repeat(passed: ArrayLike) -> Verdict:
    """Holds where every repeat passes, does not where none does, undecided between."""
    flags = np.asarray(passed, dtype=bool)
    if flags.all():
        return Verdict.HOLDS
    return Verdict.UNDECIDED if flags.any() else Verdict.DOES_NOT_HOLD


def rises(repeats: ArrayLike) -> Verdict:
    """Whether a quantity rises along a series, by the paired differences of its neighbours.

    Args:
        repeats: values (repeats × k), repeats in rows, in the order of the series.

    Returns:
        holds if every neighbour is clearly higher (`LEVEL`); does not hold if any is clearly lower; else undecided.
        With a single repeat there is no error, and it stays undecided.
    """
    steps = np.diff(np.atleast_2d(np.asarray(repeats, dtype=np.float64)), axis=1)
    if all(clearly(column) for column in steps.T):
        return Verdict.HOLDS
    return Verdict.DOES_NOT_HOLD if any_clearly(-steps) else Verdict.UNDECIDED


def falls(repeats: ArrayLike) -> Verdict:
    """Whether a quantity falls along a series; see `rises`."""
    return rises(-np.asarray(repeats, dtype=np.float64))


def mean_inside(repeats: ArrayLike, low: float, high: float) -> Verdict:
    """Whether the mean over repeats lies in [low, high], each column by itself.

    Returns:
        holds if all means are clearly (`LEVEL`) above `low` and below `high`, which is a test of equivalence; does not
        hold if any is clearly outside; else undecided.
    """
    values = np.atleast_2d(np.asarray(repeats, dtype=np.float64))
    if all(clearly(column - low) and clearly(high - column) for column in values.T):
        return Verdict.HOLDS
    return Verdict.DOES_NOT_HOLD if any_clearly(np.hstack([low - values, values - high])) else Verdict.UNDECIDED


def all_of(verdicts: Sequence[Verdict]) -> Verdict:
    """Holds if all hold; does not if one does not; else undecided."""
    if Verdict.DOES_NOT_HOLD in verdicts:
        return Verdict.DOES_NOT_HOLD
    return Verdict.UNDECIDED if Verdict.UNDECIDED in verdicts else Verdict.HOLDS


def chance_above(differences: ArrayLike) -> float:
    """How often repeats whose mean is zero would have one as far above as this: the one-sided p-value of their t-test.

    1, which decides nothing, for fewer than two repeats; also where one is NaN or infinite, as of a run that diverged.

    >>> round(chance_above([1.0, 2.0, 3.0]), 3)
    0.037
    """
    values = np.asarray(differences, dtype=np.float64)
    if len(values) < 2 or not np.isfinite(values).all():
        return 1.0
    error = float(values.std(ddof=1) / np.sqrt(len(values)))
    if error == 0.0:
        return 0.0 if values.mean() > 0 else 1.0
    return float(stdtr(len(values) - 1, -values.mean() / error))


def clearly(differences: ArrayLike) -> bool:
    """Whether the mean of repeats is clearly above zero; see `LEVEL`."""
    return chance_above(differences) < LEVEL / 2


def any_clearly(differences: ArrayLike) -> bool:
    """Whether any column of (repeats × k) is clearly above zero, by Holm's correction for k comparisons."""
    columns = np.atleast_2d(np.asarray(differences, dtype=np.float64)).T
    # Holm's first step decides whether there is any, and is Bonferroni's
    return min(map(chance_above, columns), default=1.0) * len(columns) < LEVEL / 2


def repeats_to_decide(differences: ArrayLike, most: int = 1000) -> int:
    """How many repeats with this mean and spread would be clearly on one side of zero; `most` if more.

    >>> repeats_to_decide([1.0, 2.0, 3.0]), repeats_to_decide([1.0, -1.0, 0.1])
    (4, 1000)
    """
    values = np.asarray(differences, dtype=np.float64)
    mean, spread = abs(float(values.mean())), float(values.std(ddof=1))
    for count in range(2, most):
        if spread == 0.0 or stdtr(count - 1, -mean / spread * np.sqrt(count)) < LEVEL / 2:
            return count
    return most


def mean_std(values: ArrayLike, digits: int = 3) -> str:
    """Mean ± sample standard deviation over repeats, as 0.853 ± 0.012; the mean alone for one.

    >>> mean_std([1.0, 3.0])
    '2 ± 1.41'
    """
    numbers = np.asarray(values, dtype=np.float64)
    mean = f"{numbers.mean():.{digits}g}"
    return mean if len(numbers) < 2 else f"{mean} ± {numbers.std(ddof=1):.{digits}g}"


def means(repeats: ArrayLike, digits: int = 3) -> str:
    """The means of a series, as 0.919, 0.914, 0.859."""
    return ", ".join(f"{mean:.{digits}g}" for mean in np.atleast_2d(np.asarray(repeats, dtype=np.float64)).mean(0))
