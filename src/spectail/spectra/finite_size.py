"""How statistics of a Gaussian matrix's spectrum change with its size, its ratio of sides and its slices being kept.

Thus a few seconds of draws of a small matrix tell of a large one. Not here: the draws, which are in `nulls`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import gammaincinv  # scipy.stats takes half a second to import

from spectail.spectra.bulk import MarchenkoPastur

KS_GROWTH = 0.45
"""log(α_KS − 1) of a Gaussian matrix grows by this much for each unit of log b: measured, 0.47 at 1:1, 0.43 at 7:2."""

# The Tracy–Widom law of β = 1 to four digits: a gamma law of this shape and scale, shifted (Chiani 2014).
_SHAPE, _SCALE, _SHIFT = 46.446, 0.186054, -9.84801


@dataclass(frozen=True)
class Moments:
    """Mean, standard deviation and skewness of one statistic."""

    mean: float
    spread: float
    skewness: float

    @classmethod
    def of(cls, values: NDArray[np.float64]) -> Moments:
        """The moments of a sample; no skewness where all values are equal."""
        centred = values - values.mean()
        second = float(np.mean(centred**2))
        skewness = float(np.mean(centred**3)) / second**1.5 if second > 0 else math.nan
        return cls(float(values.mean()), float(values.std(ddof=1)), skewness)

    def nearer(self, limit: Moments, share: float) -> Moments:
        """Moments whose distance from a limit is a share of this one's; for the variance, the square of that share."""
        variance = limit.spread**2 + (self.spread**2 - limit.spread**2) * share**2
        return Moments(
            limit.mean + (self.mean - limit.mean) * share,
            math.sqrt(max(variance, 0.0)),
            limit.skewness + (self.skewness - limit.skewness) * share,
        )

    def wider(self, variance: float) -> Moments:
        """The same with a variance added."""
        return replace(self, spread=math.sqrt(self.spread**2 + variance))


@dataclass(frozen=True)
class Ensemble:
    """Sides and number of the Gaussian matrices whose eigenvalues are pooled, and what theory says of them.

    Attributes:
        longer, shorter: sides of one; the ratio is kept where a statistic is carried over.
        slices: how many.
    """

    longer: int
    shorter: int
    slices: int

    def reduced(self, shorter: int) -> Ensemble:
        """The shape of the same ratio with a shorter side of at most so much, even or odd as before.

        Itself where its side is as short already. Even and odd matter, as the upper half of a spectrum begins at its
        median or beside it.
        """
        if self.shorter <= shorter:
            return self
        b = max(shorter - (shorter - self.shorter) % 2, 2 + self.shorter % 2)
        return Ensemble(max(round(self.longer * b / self.shorter), b), b, self.slices)

    @cached_property
    def law(self) -> MarchenkoPastur:
        """The limit law of one matrix whose entries have variance one."""
        return MarchenkoPastur(self.longer, self.shorter)

    @cached_property
    def log_hill(self) -> float:
        """log(α − 1) of the law's own Hill exponent."""
        return math.log(self.law.hill() - 1.0)

    @cached_property
    def log_effective_rank(self) -> float:
        """The logarithm of the law's effective rank, as a share of the number of eigenvalues."""
        low, high = self.law.edges
        angle = math.pi * (torch.arange(20_000, dtype=torch.float64) + 0.5) / 20_000
        values = 0.5 * (high + low) - 0.5 * (high - low) * angle.cos()
        mass = self.law.density(values) * angle.sin()
        root = (values / high).sqrt()
        mean = float((mass * root).sum() / mass.sum())
        return math.log(mean) - float((mass * root * root.log()).sum() / mass.sum()) / mean

    @cached_property
    def edge(self) -> Moments:
        """Moments of the largest eigenvalue of all, in Tracy–Widom scales past λ₊, by its limit law."""
        shares = (np.arange(20_000) + 0.5) / 20_000
        return Moments.of(_SHIFT + _SCALE * gammaincinv(_SHAPE, shares ** (1.0 / self.slices)))

    @cached_property
    def log_stable_rank(self) -> Moments:
        """Moments of the log of the stable rank's share of b, as the limit law of the largest eigenvalue gives them."""
        edge, scale = self.law.edges[1], self.law.edge_fluctuation
        mean = -math.log((edge + scale * self.edge.mean) / self.longer)
        return Moments(mean, scale / edge * self.edge.spread, -self.edge.skewness)

    @cached_property
    def median_fluctuation(self) -> float:
        """How the variance of the log of the spectrum's median times b² grows, for each unit of log b.

        The number of eigenvalues below the median has variance log(b)/π² (β = 1), independently in each slice.
        """
        return 1.0 / (math.pi**2 * self.slices * self._density_of_log(self._median) ** 2)

    @cached_property
    def distance_fluctuation(self) -> float:
        """How the variance of the distance to the fitted law times b² grows, for each unit of log b.

        The law is fitted to the median, whose error moves its cumulative distribution most where the density of log λ
        is largest. The factor of 0.27 is measured at 1:1 and 7:2, b from 128 to 4096; if that error alone made the
        distance it would be 1 − 2/π.
        """
        low, high = self.law.edges
        largest = self._density_of_log(0.5 * (low + high))
        return 0.27 * largest**2 * self.median_fluctuation

    @property
    def distance_growth(self) -> float:
        """How the mean distance to the fitted law times b grows, for each unit of log b: of a log-correlated field."""
        return math.sqrt(2.0 / self.slices) / math.pi

    @cached_property
    def _median(self) -> float:
        return self.law.median()

    def _density_of_log(self, value: float) -> float:
        return value * float(self.law.density(torch.tensor(value)))


def carried_over(moments: dict[str, Moments], small: Ensemble, large: Ensemble) -> dict[str, Moments]:
    """What the moments of statistics at one size are at a larger one.

    What theory knows is taken from it: the limits, and the terms in log b, which come from the fluctuation of
    the median. The rest, known from what was drawn, decays with a power of b.

    Args:
        moments: of the statistics as `nulls` computes them, by name.
        small: the shape that they belong to.
        large: the shape that is asked for, of the same ratio.

    Source: Johnstone (2001) for the edge; Gustavsson (2005), O'Rourke (2010) for the median; Claeys et al. (2021)
        for the distance.

    >>> small, large = Ensemble(60, 40, 1), Ensemble(600, 400, 1)
    >>> drawn = {"effective_rank": Moments(small.log_effective_rank, 0.01, 0.0)}
    >>> carried_over(drawn, small, large)["effective_rank"].spread
    0.001
    """
    share, doublings = small.shorter / large.shorter, math.log(large.shorter / small.shorter)
    median = large.median_fluctuation * doublings / large.shorter**2
    result = {}
    for name, drawn in moments.items():
        if name == "hill":
            limit = drawn.mean - small.log_hill
            moved = Moments(large.log_hill + limit * share, drawn.spread * share, drawn.skewness)
            result[name] = moved.wider(median / math.exp(-2.0 * large.log_hill))
        elif name == "effective_rank":
            mean = large.log_effective_rank + (drawn.mean - small.log_effective_rank) * share
            result[name] = Moments(mean, drawn.spread * share, drawn.skewness)
        elif name == "edge":
            scales = large.law.edges[1] / large.law.edge_fluctuation
            result[name] = drawn.nearer(large.edge, math.cbrt(share)).wider(median * scales**2)
        elif name == "stable_rank":
            near, far = small.log_stable_rank, large.log_stable_rank
            spread = far.spread * (1.0 + (drawn.spread / near.spread - 1.0) * share ** (2 / 3))
            skewness = far.skewness + (drawn.skewness - far.skewness) * math.cbrt(share)
            result[name] = Moments(far.mean + (drawn.mean - near.mean) * share, spread, skewness)
        else:
            result[name] = _distance(drawn, small, large, doublings)
    return result


def _distance(drawn: Moments, small: Ensemble, large: Ensemble, doublings: float) -> Moments:
    """Of log distance: its mean and variance times b grow with log b, those of the logarithm follow."""
    mean = math.exp(drawn.mean + drawn.spread**2 / 2) * small.shorter
    spread = mean * drawn.spread
    grown = mean + large.distance_growth * doublings
    relative = math.sqrt(spread**2 + large.distance_fluctuation * doublings) / grown
    return Moments(math.log(grown / large.shorter) - relative**2 / 2, relative, drawn.skewness)
