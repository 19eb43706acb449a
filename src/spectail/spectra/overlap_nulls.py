"""What overlaps, angles and alignments are for directions that have nothing to do with each other.

A direction that is independent of another is uniform on the sphere, its squared components are χ² over their sum; so
all but the angles follow from few formulas. Not here: the overlaps themselves (`overlaps`), and the nulls of exponents
(`nulls`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv, ndtr, polygamma, psi

from spectail.errors import SpectailError

_TAIL = float(ndtr(-2.0))  # below low, and above high: what a normal number has past two standard deviations

_DRAWN_BELOW, _NUMBERS = 2000, 4_000_000  # entries of a row whose spread is drawn, and of all draws together


@dataclass(frozen=True)
class OverlapNull:
    """How one number is distributed for independent directions.

    Attributes:
        mean: of it.
        spread: its standard deviation.
        low: 2.3 % of draws lie below, as of a normal number below −2 standard deviations.
        high: 2.3 % of draws lie above.

    >>> overlap_null(1000).mean
    0.001
    """

    mean: float
    spread: float
    low: float
    high: float


def overlap_null(n: int, entries: int = 1) -> OverlapNull:
    """The sum of some squared overlaps of a direction with orthonormal ones: Beta(m/2, (n−m)/2), of mean m/n.

    Args:
        n: dimensions; or, for the share of a row, how many entries the row has.
        entries: m, how many are summed: 1 for an entry, 2w + 1 for a window.

    Raises:
        SpectailError: there are not so many dimensions, or none.

    >>> null = overlap_null(1000, 11)
    >>> round(null.mean, 4), round(null.high, 4)
    (0.011, 0.0221)
    """
    _check(n, entries)
    if entries == n:
        return OverlapNull(1.0, 0.0, 1.0, 1.0)
    a, b = entries / 2, (n - entries) / 2
    mean = entries / n
    spread = math.sqrt(mean * (1 - mean) / (n / 2 + 1))
    return OverlapNull(mean, spread, float(betaincinv(a, b, _TAIL)), 1.0 - float(betaincinv(b, a, _TAIL)))


def largest_overlap_null(n: int, entries: int) -> OverlapNull:
    """The largest of many squared overlaps in n dimensions, about 2 log(entries)/n.

    Args:
        n: dimensions.
        entries: how many there are, b² in a whole overlap matrix; taken for independent, which they nearly are.

    Returns:
        its mean to a percent.

    Raises:
        SpectailError: there is no dimension, or no entry.

    >>> round(largest_overlap_null(1000, 1000**2).mean, 3)
    0.025
    """
    _check(n, 1, entries)
    if n == 1:
        return OverlapNull(1.0, 0.0, 1.0, 1.0)
    levels = (np.arange(400) + 0.5) / 400
    above = -np.expm1(np.log(np.concatenate([levels, [_TAIL, 1 - _TAIL]])) / entries)  # of one entry
    quantiles = 1.0 - betaincinv((n - 1) / 2, 0.5, above)
    return OverlapNull(float(quantiles[:-2].mean()), float(quantiles[:-2].std()), *quantiles[-2:].tolist())


def leading_overlap_null(n: int, k: int) -> OverlapNull:
    """`leading_overlap` of independent k-dimensional subspaces of n dimensions: mean k/n, and its exact variance.

    Args:
        n: dimensions.
        k: of each subspace.

    Returns:
        low and high as of a normal number, between 0 and 1; of one direction as of a Beta.

    Raises:
        SpectailError: there are not so many dimensions, or none.

    >>> round(leading_overlap_null(1000, 10).mean, 4)
    0.01
    """
    _check(n, k)
    if k == 1:
        return overlap_null(n)
    mean = k / n  # the traceless parts of two projectors are uniform in (n − 1)(n + 2)/2 dimensions
    return _normal(mean, math.sqrt(2 / ((n - 1) * (n + 2))) * (n - k) / n, 1.0)


def simulate_principal_angles(n: int, k: int, draws: int = 200, seed: int = 0) -> NDArray[np.float64]:
    """`principal_angles` of independent k-dimensional subspaces of n dimensions.

    Args:
        n: dimensions.
        k: of each subspace.
        draws: how many pairs.
        seed: of the draws. The global random state is neither read nor moved.

    Returns:
        (draws × k), radians, smallest first.

    Raises:
        SpectailError: there are not so many dimensions, or none.

    >>> simulate_principal_angles(1000, 3).min(0).round(1).tolist()
    [1.4, 1.5, 1.5]
    """
    _check(n, k)
    stream = np.random.default_rng([seed, n, k])
    inside = stream.standard_normal((draws, k, k))
    below = min(n - k, k)  # the other rows of a Gaussian matrix, in fewer: their triangular factor
    outside = stream.standard_normal((draws, below, k))
    if n - k >= k:
        index = np.arange(k)
        outside[:, index, index] = np.sqrt(stream.chisquare(n - k - index, (draws, k)))
        outside = np.triu(outside)
    factor = np.linalg.qr(np.concatenate([inside, outside], axis=1))[0]
    angles: NDArray[np.float64] = np.arccos(np.clip(np.linalg.svd(factor[:, :k], compute_uv=False), 0.0, 1.0))
    return angles


def participation_ratio_null(b: int) -> OverlapNull:
    """`participation_ratio` of a row of b overlaps with a direction that is independent: about (b + 2)/3.

    On either side of the matrices, since what a row sums to does not matter. Drawn, with a seed of its own, below
    b = 2000; from the exact moments of its reciprocal from there on, within a percent.

    Args:
        b: entries of the row.

    Raises:
        SpectailError: the row has no entry.

    >>> round(participation_ratio_null(1000).mean)
    335
    """
    _check(b, 1)
    if b < _DRAWN_BELOW:
        return _drawn_participation_ratio(b)
    concentration = 3 / (b + 2)
    relative = (9 * b + 96) / ((b + 4) * (b + 6) * (b + 2)) / concentration**2 - 1  # variance over squared mean
    return _normal((1 + relative) / concentration, math.sqrt(relative) / concentration, b)


@cache
def _drawn_participation_ratio(b: int) -> OverlapNull:
    squares = np.random.default_rng([0, b]).chisquare(1, (min(_NUMBERS // b, 10_000), b))
    ratios = squares.sum(1) ** 2 / (squares**2).sum(1)
    return OverlapNull(float(ratios.mean()), float(ratios.std()), *np.quantile(ratios, [_TAIL, 1 - _TAIL]).tolist())


def overlap_entropy_null(b: int) -> OverlapNull:
    """`overlap_entropy` of a row of b overlaps with a direction that is independent: about log b − 0.73.

    Args:
        b: entries of the row.

    Raises:
        SpectailError: the row has no entry.

    Source: moments of the entropy under Dirichlet(½, …, ½); Archer, Park & Pillow (2014).

    >>> round(overlap_entropy_null(1000).mean - math.log(1000), 2)
    -0.73
    """
    _check(b, 1)
    mean = float(psi(b / 2 + 1) - psi(1.5))
    variance = float(3 / (b + 2) * polygamma(1, 1.5) - polygamma(1, b / 2 + 1))
    return _normal(mean, math.sqrt(max(variance, 0.0)), math.log(b))


def alignment_null(d: int) -> OverlapNull:
    """|v·β| of two independent unit vectors in d dimensions: mean about √(2/(πd)), the root of `overlap_null`.

    Args:
        d: dimensions.

    Raises:
        SpectailError: there is none.

    >>> round(alignment_null(1000).mean * math.sqrt(1000 * math.pi / 2), 3)
    1.0
    """
    squared = overlap_null(d)
    mean = math.exp(math.lgamma(d / 2) - math.lgamma((d + 1) / 2)) / math.sqrt(math.pi)
    spread = math.sqrt(max(squared.mean - mean**2, 0.0))
    return OverlapNull(mean, spread, math.sqrt(squared.low), math.sqrt(squared.high))


def _normal(mean: float, spread: float, most: float) -> OverlapNull:
    """Two standard deviations to both sides, where the number can be."""
    return OverlapNull(mean, spread, max(mean - 2 * spread, 0.0), min(mean + 2 * spread, most))


def _check(n: int, *parts: int) -> None:
    if n < 1 or min(parts) < 1 or parts[0] > n:
        raise SpectailError(f"expected 1 to n={n} of n ≥ 1 dimensions, got {', '.join(map(str, parts))}")
