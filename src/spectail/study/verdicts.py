"""The rules by which repeats decide a claim, and how numbers over repeats are written.

Not here: what a claim is (`claims.py`), and what claims measure (`figures/`, `criteria.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

# A difference between means counts where it exceeds this many standard errors of the paired
# differences over repeats. With 5 repeats (t, 4 degrees of freedom) chance alone does that in 4 of
# 100 claims, both sides together.
STANDARD_ERRORS = 3.0


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
        holds if every neighbour is higher by more than `STANDARD_ERRORS` standard errors; does not hold if one is
        lower by as much; else undecided. With a single repeat there is no error, and it stays undecided.
    """
    steps = np.diff(np.atleast_2d(np.asarray(repeats, dtype=np.float64)), axis=1)
    scores = np.array([paired_score(column) for column in steps.T])
    if (scores > STANDARD_ERRORS).all():
        return Verdict.HOLDS
    return Verdict.DOES_NOT_HOLD if (scores < -STANDARD_ERRORS).any() else Verdict.UNDECIDED


def falls(repeats: ArrayLike) -> Verdict:
    """Whether a quantity falls along a series; see `rises`."""
    return rises(-np.asarray(repeats, dtype=np.float64))


def mean_inside(repeats: ArrayLike, low: float, high: float) -> Verdict:
    """Whether the mean over repeats lies in [low, high], each column by itself.

    Returns:
        holds if all means do and none is closer than its standard error times `STANDARD_ERRORS` to
        the outside; does not hold if one mean is as far outside; else undecided.
    """
    values = np.atleast_2d(np.asarray(repeats, dtype=np.float64))
    mean, error = values.mean(0), np.array([_standard_error(column) for column in values.T])
    room = np.minimum(mean - low, high - mean)
    if (room > STANDARD_ERRORS * error).all():
        return Verdict.HOLDS
    return Verdict.DOES_NOT_HOLD if (room < -STANDARD_ERRORS * error).any() else Verdict.UNDECIDED


def all_of(verdicts: Sequence[Verdict]) -> Verdict:
    """Holds if all hold; does not if one does not; else undecided."""
    if Verdict.DOES_NOT_HOLD in verdicts:
        return Verdict.DOES_NOT_HOLD
    return Verdict.UNDECIDED if Verdict.UNDECIDED in verdicts else Verdict.HOLDS


def paired_score(differences: ArrayLike) -> float:
    """Mean of paired differences in units of its standard error.

    0, which decides nothing, for fewer than two; also where one is NaN or infinite, as of a run that diverged. Infinite
    where all are equal, and not 0.
    """
    values = np.asarray(differences, dtype=np.float64)
    if not np.isfinite(values).all() or not values.mean():
        return 0.0
    error = _standard_error(values)
    return float(values.mean() / error) if error else float(np.sign(values.mean()) * np.inf)


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


def _standard_error(values: np.ndarray[Any, np.dtype[np.float64]]) -> float:
    """Of the mean of repeats; infinite for fewer than two."""
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else np.inf
