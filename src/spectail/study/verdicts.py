"""The rules by which repeats decide a claim, and how numbers over repeats are written.

One rule for numbers: a claim is written as a margin that is above zero where it holds, and a t-test over repeats says
whether the margin's mean is. What is only yes or no must be so in each repeat. Not here: what a claim is (`claims.py`),
and what claims measure (`figures/`, `criteria.py`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtr, stdtrit

LEVEL = 0.05
"""What is "clear": p < 0.05 in a two-sided t-test over repeats. Where two runs of each repeat are compared, the test is
of their differences, with one degree of freedom less than there are repeats. Where any of several comparisons would
decide, their p-values have Holm's correction for their number; where all must be clear, they need none. The claims
about one figure have Holm's correction for the number of claims.
"""

LEAST_REPEATS = 3
"""The fewest repeats that must agree on what is yes or no. Where 3, 5 or 10 repeats agree, at least 37, 55 or 74 % of
all repeats would, with 95 % confidence."""

MOST_REPEATS = 1000
"""The most repeats that are made, and that a claim is said to need."""


class Verdict(StrEnum):
    """What the runs say of a claim."""

    HOLDS = "holds"
    DOES_NOT_HOLD = "does not hold"
    UNDECIDED = "undecided"


@dataclass(frozen=True)
class Finding:
    """How clearly repeats say that something is so, or that it is not.

    Attributes:
        claimed: how often repeats would be as much in favour by chance, if it were not so: a one-sided p-value.
        contrary: how often they would be as much against it, if it were so.
        effect: mean over standard deviation of the margin that decides; None where there is none.
        comparisons: what Holm's correction multiplies its p-value by; see `as_a_family`.
        margin: the mean of that margin and the ends of its t interval, by `LEVEL`, not corrected: (mean, low, high).
        tested: whether there is a p-value; yes and no have none, and 0 and 1 stand for it.
        least: how many repeats would decide if all are as these, which are too few; None where that is not the reason.
    """

    claimed: float
    contrary: float
    effect: float | None = None
    comparisons: int = 1
    margin: tuple[float, float, float] | None = None
    tested: bool = True
    least: int | None = None

    @property
    def verdict(self) -> Verdict:
        """The verdict by `LEVEL`, both sides together."""
        if self.claimed < LEVEL / 2:
            return Verdict.HOLDS
        return Verdict.DOES_NOT_HOLD if self.contrary < LEVEL / 2 else Verdict.UNDECIDED

    @property
    def chance(self) -> float | None:
        """The p-value of what repeats lean to, both sides together; None where nothing was tested."""
        return min(1.0, 2 * min(self.claimed, self.contrary)) if self.tested else None

    @property
    def needed(self) -> int | None:
        """How many repeats of this effect would decide, `MOST_REPEATS` for more; None where decided or unknown."""
        if self.verdict is not Verdict.UNDECIDED:
            return None
        return self.least if self.effect is None else repeats_to_decide(self.effect, self.comparisons)


UNTESTED = {
    Verdict.HOLDS: Finding(0.0, 1.0, tested=False),
    Verdict.DOES_NOT_HOLD: Finding(1.0, 0.0, tested=False),
    Verdict.UNDECIDED: Finding(1.0, 1.0, tested=False),
}
"""Verdicts that have no p-value."""


def clear(margins: ArrayLike) -> Finding:
    """Whether the mean of a margin is above zero, over repeats.

    Args:
        margins: one a repeat, above zero where it is as claimed.

    Returns:
        undecided for fewer than two repeats, and where one is NaN or infinite, as of a run that diverged.

    >>> clear([1.0, 2.0, 1.5]).verdict, clear([1.0, 2.0, 3.5]).needed
    (<Verdict.HOLDS: 'holds'>, 4)
    """
    values = np.asarray(margins, dtype=np.float64).ravel()
    if not np.isfinite(values).all():
        return UNTESTED[Verdict.UNDECIDED]
    if len(values) < 2:
        return replace(UNTESTED[Verdict.UNDECIDED], least=LEAST_REPEATS)
    mean, spread = float(values.mean()), float(values.std(ddof=1))
    effect = mean / spread if spread else None  # repeats that are all alike tell nothing of more
    reach = float(stdtrit(len(values) - 1, 1 - LEVEL / 2)) * spread / math.sqrt(len(values))
    return Finding(chance_above(values), chance_above(-values), effect, margin=(mean, mean - reach, mean + reach))


def yes_or_no(passed: bool) -> Finding:
    """Holds or does not, where nothing is left to chance."""
    return UNTESTED[Verdict.HOLDS if passed else Verdict.DOES_NOT_HOLD]


def in_every_repeat(passed: ArrayLike, least: int = LEAST_REPEATS) -> Finding:
    """Holds where every repeat passes, does not where none does, undecided between.

    For what is yes or no; a number has `clear`.

    Args:
        passed: one a repeat.
        least: fewer repeats decide nothing; 1 where each of them is a test by itself.
    """
    flags = np.asarray(passed, dtype=bool).ravel()
    if flags.any() and not flags.all():
        return UNTESTED[Verdict.UNDECIDED]
    if len(flags) < least:
        return replace(UNTESTED[Verdict.UNDECIDED], least=least)
    return yes_or_no(bool(flags.all()))


def rises(repeats: ArrayLike) -> Finding:
    """Whether a quantity rises along a series, by the paired differences of its neighbours.

    Args:
        repeats: values (repeats × k), repeats in rows, in the order of the series.

    Returns:
        holds if every neighbour is clearly higher (`LEVEL`); does not hold if any is clearly lower; else undecided.
    """
    steps = np.diff(np.atleast_2d(np.asarray(repeats, dtype=np.float64)), axis=1)
    return each_clear(steps)


def falls(repeats: ArrayLike) -> Finding:
    """Whether a quantity falls along a series; see `rises`."""
    return rises(-np.asarray(repeats, dtype=np.float64))


def each_clear(margins: ArrayLike) -> Finding:
    """Whether each column of (repeats × k) margins is clearly above zero."""
    return all_of([clear(column) for column in np.atleast_2d(np.asarray(margins, dtype=np.float64)).T])


def mean_inside(repeats: ArrayLike, low: float, high: float) -> Finding:
    """Whether the mean over repeats lies in [low, high], each column by itself.

    Returns:
        holds if all means are clearly (`LEVEL`) above `low` and below `high`, which is a test of equivalence; does not
        hold if any is clearly outside; else undecided.
    """
    values = np.atleast_2d(np.asarray(repeats, dtype=np.float64))
    return each_clear(np.hstack([values - low, high - values]))


def all_of(findings: Sequence[Finding]) -> Finding:
    """Holds if all hold; does not if one does not, by Holm's correction for their number; else undecided."""
    tested = [f for f in findings if f.tested]
    # Holm's first step decides whether there is any, and is Bonferroni's
    contrary = [min(1.0, f.contrary * (len(tested) if f.tested else 1)) for f in findings]
    least = min(tested, key=_signed_effect, default=None)
    reckoned = least and all(f.verdict is not Verdict.UNDECIDED for f in findings if not f.tested)
    return Finding(
        max(f.claimed for f in findings),
        min(contrary),
        least.effect if least and reckoned else None,
        margin=least.margin if least else None,
        tested=bool(tested),
        least=max((f.least for f in findings if f.least), default=None),
    )


def _signed_effect(finding: Finding) -> float:
    """The effect, infinite where all repeats have the same margin."""
    if finding.effect is not None or finding.margin is None:
        return finding.effect or 0.0
    return math.copysign(math.inf, finding.margin[0])


def as_a_family(findings: Sequence[Finding]) -> list[Finding]:
    """Findings of claims about one figure, by Holm's correction for the number of those that were tested.

    Source: Holm (1979), A simple sequentially rejective multiple test procedure.

    >>> [f.claimed for f in as_a_family([Finding(0.01, 0.99), Finding(0.02, 0.98)])]
    [0.02, 0.02]
    """
    places = [i for i, f in enumerate(findings) if f.tested]
    places.sort(key=lambda i: min(findings[i].claimed, findings[i].contrary))
    corrected, largest = list(findings), 0.0
    for rank, i in enumerate(places):
        f = findings[i]
        largest = min(1.0, max(largest, min(f.claimed, f.contrary) * (len(places) - rank)))
        beside = len(places) - rank
        if f.claimed <= f.contrary:
            corrected[i] = replace(f, claimed=largest, comparisons=beside)
        else:
            corrected[i] = replace(f, contrary=largest, comparisons=beside)
    return corrected


def chance_above(differences: ArrayLike) -> float:
    """How often repeats of mean zero would have a sample mean as far above it as this: the one-sided p of their t-test.

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


def repeats_to_decide(effect: float, comparisons: int = 1) -> int:
    """How many repeats of an effect would be clearly on one side of zero; `MOST_REPEATS` for more.

    Args:
        effect: mean over standard deviation.
        comparisons: how many p-values Bonferroni's correction is for.

    >>> repeats_to_decide(2.0), repeats_to_decide(2.0, 5), repeats_to_decide(0.01)
    (4, 6, 1000)
    """
    counts = np.arange(2, MOST_REPEATS)
    enough = stdtr(counts - 1, -abs(effect) * np.sqrt(counts)) * comparisons < LEVEL / 2
    return int(counts[np.argmax(enough)]) if enough.any() else MOST_REPEATS


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
