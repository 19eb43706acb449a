"""Laws of the eigenvalues of a population covariance, and the density of the spectrum of a matrix that has them.

A matrix W = G·Σ^{1/2} of Gaussian rows has the eigenvalues τ of Σ as its population. Here: families of laws of τ, those
with a tail and those that end at an edge, and the limit of the spectrum of WᵀW for each. Not here: which of them a
spectrum follows, which is in `tail_tests`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from spectail.spectra.few_columns import FEW_COLUMNS, drawn_density

_Array = NDArray[np.float64]

POWER_LAW, TRUNCATED, LOGNORMAL, EXPONENTIAL, NONE = (
    "power law",
    "truncated power law",
    "lognormal",
    "exponential",
    "none",
)
"""What a tail may be; `NONE`: the population ends at an edge."""

STEP = 0.1
"""Spacing of the grid of log λ, and of the values that make up a law of log τ."""

GRID: _Array = np.arange(-14.0, 16.0 + STEP / 2, STEP)

_CELLS = np.append(GRID - STEP / 2, GRID[-1] + STEP / 2)

_NEVER = 11.0  # e^-11 = 2e-5 of a law is left out

_FLOOR = 1e-3  # of each law may be anything: a lone spike rules out no law

_SMOOTHING = (1.0, 0.4, 0.2, 0.1, 0.05)  # imaginary parts, as shares of λ; the density is extrapolated from the last


@dataclass(frozen=True, eq=False)
class Law:
    """A law of log τ: its density is constant within `STEP` around each of the `logs`, or they are its only values.

    Attributes:
        logs: of the population's eigenvalues.
        weights: of each, which sum to one.
        spread: whether values lie around the logs; at a log of exactly 0, a bulk of one variance, they never do.
        beside: share and width, in log λ, of eigenvalues that lie evenly above the spectrum: spikes of no law.
    """

    logs: _Array
    weights: _Array
    spread: bool = True
    beside: tuple[float, float] = (0.0, 1.0)

    def draw(self, size: int, stream: np.random.Generator) -> _Array:
        """Eigenvalues of a population."""
        logs = stream.choice(self.logs, size, p=self.weights)
        return np.asarray(np.exp(logs + STEP * (stream.random(size) - 0.5) * (self.spread & (logs != 0.0))))

    def quantile(self, shares: _Array) -> _Array:
        """The logs below which so much of the population lies."""
        above = self.weights.cumsum()
        at = np.searchsorted(above, shares).clip(max=len(above) - 1)
        logs = self.logs[at]
        within = 0.5 - ((above[at] - shares) / self.weights[at]).clip(0.0, 1.0)
        return np.asarray(logs + STEP * within * (self.spread & (logs != 0.0)))


@dataclass(frozen=True)
class Family:
    """Laws of one kind, with their parameters.

    Attributes:
        kind: of the tail.
        name: of the family, unique.
        law: by the parameters.
        grid: values of each parameter that are tried; those of tails are in geometric progression.
        cost: what is taken from the log likelihood of a fit for being unlikely beforehand, beside half the log of the
            number of eigenvalues for each free parameter (Schwarz 1978).
        either_side: whether both sides of a matrix may have it; else the shorter one.
        free: how many parameters are charged for.
    """

    kind: str
    name: str
    law: Callable[..., Law]
    grid: tuple[tuple[float, ...], ...]
    cost: float
    either_side: bool
    free: int

    def tail_share(self, parameters: Sequence[float]) -> float:
        """How much of the population the tail is."""
        return parameters[1] if self.name.endswith("above a bulk") else 1.0


def _on_grid(low: float, high: float, cdf: Callable[[_Array], _Array]) -> Law:
    """The law of log τ with a cumulative distribution, between two values that enclose nearly all of it."""
    edges = np.arange(math.floor(low / STEP) * STEP, high + STEP, STEP)
    weights, middles = np.diff(cdf(edges)), (edges[1:] + edges[:-1]) / 2
    some = weights > 0
    return Law(middles[some], weights[some] / weights[some].sum())


def power_law(rate: float) -> Law:
    """Density ∝ τ^(−α), τ ≥ 1, with α = 1 + rate."""
    return _on_grid(0.0, min(_NEVER / rate, 25.0), lambda y: -np.expm1(-rate * y.clip(0.0)))


def truncated_power_law(rate: float, cut: float) -> Law:
    """Density ∝ τ^(−α) e^(−c·τ), τ ≥ 1, with α = 1 + rate and c the cut."""
    logs = np.arange(0.0, math.log1p(12.0 / cut) + STEP, STEP / 10)
    density = np.exp(-rate * logs - cut * np.exp(logs))
    cumulative = np.append(0.0, np.cumsum((density[1:] + density[:-1]) / 2))
    return _on_grid(0.0, float(logs[-1]), lambda y: np.interp(y, logs, cumulative / cumulative[-1]))


def lognormal(sigma: float) -> Law:
    """Normal log τ."""
    return _on_grid(-4.2 * sigma, 4.2 * sigma, lambda y: ndtr(y / sigma))


def exponential() -> Law:
    """Density e^(−τ)."""
    return _on_grid(-9.0, math.log(_NEVER), lambda y: -np.expm1(-np.exp(y)))


def _upper_lognormal(sigma: float) -> Law:
    return _on_grid(0.0, 4.2 * sigma, lambda y: 2 * ndtr(y.clip(0.0) / sigma) - 1)


def _shifted_exponential(scale: float) -> Law:
    return _on_grid(0.0, math.log1p(_NEVER * scale), lambda y: -np.expm1(-np.expm1(y.clip(0.0)) / scale))


def _above_bulk(tail: Callable[[float], Law]) -> Callable[[float, float], Law]:
    """τ = 1, but a share of a law that begins there: a bulk of noise, and a tail."""

    def law(parameter: float, share: float) -> Law:
        above = tail(parameter)
        return Law(np.append(0.0, above.logs), np.append(1.0 - share, share * above.weights))

    return law


def _one_variance() -> Law:
    return Law(np.zeros(1), np.ones(1), spread=False)


def _one_variance_and_spikes(share: float, width: float) -> Law:
    return Law(np.zeros(1), np.ones(1), spread=False, beside=(share, width))


def _uniform_scales(width: float) -> Law:
    """√τ uniform within 1 ± width."""
    low, high = max(1.0 - width, 1e-3), 1.0 + width
    return _on_grid(2 * math.log(low), 2 * math.log(high), lambda y: ((np.exp(y / 2) - low) / (high - low)).clip(0, 1))


def _product(ratio: float) -> Law:
    """A Marchenko–Pastur population, that of a product of two Gaussian matrices."""
    low, high = max((1 - math.sqrt(ratio)) ** 2, 1e-6), (1 + math.sqrt(ratio)) ** 2
    x = (low + high) / 2 - (high - low) / 2 * np.cos(np.linspace(0.0, math.pi, 4001))
    density = ((high - x) * (x - low)).clip(0.0) / x  # times dx, with the sine of the angle twice
    cumulative = np.append(0.0, np.cumsum((density[1:] + density[:-1]) / 2))
    return _on_grid(math.log(low), math.log(high), lambda y: np.interp(np.exp(y), x, cumulative / cumulative[-1]))


def _noise_of_rank(share: float, strength: float) -> Law:
    """One variance, and Gaussian noise of a lower rank."""
    noise = _product(share)
    return Law(
        np.append(0.0, np.log1p(strength * np.exp(noise.logs))), np.append(1.0 - share, share * noise.weights), False
    )


def _two_variances(share: float, strength: float) -> Law:
    return Law(np.array([0.0, math.log1p(strength)]), np.array([1.0 - share, share]), spread=False)


def _autoregressive(correlation: float) -> Law:
    angles = (np.arange(400) + 0.5) / 400 * math.pi
    logs = np.sort(-np.log(1 + correlation**2 - 2 * correlation * np.cos(angles)))
    return Law(logs, np.full(400, 1 / 400), spread=False)


def _steps(low: float, high: float, count: int) -> tuple[float, ...]:
    return tuple(np.geomspace(low, high, count).tolist())


_SHARES = _steps(0.05, 0.8, 5)
_SOME, _ABOVE = 0.5, 3.5  # what a tail is charged, and one above a bulk that it does not explain

FAMILIES = (
    Family(POWER_LAW, "power law", power_law, (_steps(0.4, 5.5, 14),), _SOME, True, 1),
    Family(LOGNORMAL, "lognormal", lognormal, (_steps(0.2, 2.6, 14),), 1.5, True, 1),
    Family(EXPONENTIAL, "exponential", exponential, (), 2.25, True, 0),
    Family(
        TRUNCATED,
        "truncated power law",
        truncated_power_law,
        (_steps(0.8, 2.7, 4), _steps(0.003, 0.3, 5)),
        1.5,
        True,
        2,
    ),
    Family(
        POWER_LAW,
        "power law above a bulk",
        _above_bulk(power_law),
        (_steps(0.5, 3.4, 5), _SHARES),
        _ABOVE,
        False,
        2,
    ),
    Family(
        LOGNORMAL,
        "lognormal above a bulk",
        _above_bulk(_upper_lognormal),
        (_steps(0.3, 2.0, 5), _SHARES),
        _ABOVE,
        False,
        2,
    ),
    Family(
        EXPONENTIAL,
        "exponential above a bulk",
        _above_bulk(_shifted_exponential),
        (_steps(0.3, 30.0, 5), _SHARES),
        _ABOVE,
        False,
        2,
    ),
    Family(NONE, "one variance", _one_variance, (), 0.0, True, 0),
    Family(
        NONE,
        "one variance and spikes",
        _one_variance_and_spikes,
        ((0.005, 0.02, 0.05, 0.1, 0.2), (0.5, 1.0, 2.0, 4.0)),
        0.0,
        False,
        1,
    ),
    Family(NONE, "uniform scales", _uniform_scales, ((0.2, 0.35, 0.5, 0.65, 0.8, 1.0),), 0.0, True, 1),
    Family(NONE, "a product of two matrices", _product, ((0.1, 0.25, 0.5, 0.75, 1.0),), 3.5, True, 1),
    Family(NONE, "autoregressive", _autoregressive, ((0.3, 0.5, 0.7),), 1.5, True, 1),
    Family(
        NONE,
        "noise of a lower rank",
        _noise_of_rank,
        ((0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75), (0.5, 1.5, 4.0, 12.0, 36.0)),
        0.0,
        False,
        2,
    ),
    Family(
        NONE,
        "two variances",
        _two_variances,
        ((0.02, 0.05, 0.1, 0.25, 0.5), (1.0, 3.0, 10.0, 30.0)),
        0.0,
        False,
        2,
    ),
)
"""The families of each kind of tail; of `NONE`, those that may broaden a spectrum without giving it a tail."""


@dataclass(frozen=True, eq=False)
class SpectrumLaw:
    """The law of log λ of a matrix whose population follows a law, on `GRID`.

    Attributes:
        family: of the population's law.
        parameters: of the law.
        transposed: whether the population is that of the rows.
        law: of the population.
        log_density: of log λ.
        cdf: of log λ, at the grid's points and half a step.
        median: of log λ.
    """

    family: Family
    parameters: tuple[float, ...]
    transposed: bool
    law: Law
    log_density: _Array
    cdf: _Array
    median: float

    def log_likelihood(self, logs: _Array) -> _Array:
        """The log density at some logs; those of the last dimension are one spectrum."""
        return np.interp(logs, GRID, self.log_density)

    def share_below(self, logs: _Array) -> _Array:
        """The cumulative distribution."""
        return np.interp(logs, GRID + STEP / 2, self.cdf)


def spectrum_laws(rows: int, cols: int) -> tuple[SpectrumLaw, ...]:
    """The laws of log λ that all families give a matrix of a shape, up to a shift: a second or two of work.

    Args:
        rows: of the matrix, independent of each other; unless they or the cols are few, only the ratio counts.
        cols: of the matrix, whose covariance has the population.
    """
    if min(rows, cols) >= FEW_COLUMNS:  # the least shape of that ratio with the same laws
        common = math.gcd(rows, cols)
        rows, cols = rows // common, cols // common
        times = -(-FEW_COLUMNS // min(rows, cols))
        rows, cols = times * rows, times * cols
    return _laws_of_shape(rows, cols)


@lru_cache(maxsize=16)
def _laws_of_shape(rows: int, cols: int) -> tuple[SpectrumLaw, ...]:
    laws = [
        spectrum_law(family, parameters, rows, cols, transposed)
        for transposed in (False, True)[: 1 if rows == cols else 2]
        for family in FAMILIES
        if family.either_side or transposed == (cols > rows)
        for parameters in product(*family.grid)
    ]
    return tuple(laws)


def spectrum_law(
    family: Family, parameters: tuple[float, ...], rows: int, cols: int, transposed: bool = False
) -> SpectrumLaw:
    """The law of log λ of the nonzero eigenvalues of WᵀW for one law of the population.

    The companion Stieltjes transform v(z) of the sample covariance solves z = −1/v + κ ∫ τ/(1 + τv) dH(τ)
    (Silverstein 1995). It is solved by Newton's method at λ(1 + iε) for smaller and smaller ε, and the density
    extrapolated to ε = 0. That is the limit of many columns; of a matrix with few the law is drawn.

    Args:
        family: of the law.
        parameters: of the law.
        rows: of W.
        cols: of W.
        transposed: whether the population is that of the rows.
    """
    law = family.law(*parameters)
    if transposed:
        rows, cols = cols, rows
    few = min(rows, cols) < FEW_COLUMNS
    density = drawn_density(law.quantile, rows, cols, _CELLS) / STEP if few else _limit(law, rows, cols)
    share, width = law.beside
    if share:
        edge = GRID[np.searchsorted(density.cumsum() * STEP, 0.995)]
        above = (edge < GRID) & (edge + width + 0.01 > GRID)
        density = (1 - share) * density + share * above / (above.sum() * STEP)
    anything = np.exp(-((GRID / 8.0) ** 2) / 2) / (8.0 * math.sqrt(2 * math.pi))
    density = (1 - _FLOOR) * density + _FLOOR * anything
    cdf = density.cumsum() * STEP
    cdf /= cdf[-1]
    median = float(np.interp(0.5, cdf, GRID + STEP / 2))
    return SpectrumLaw(family, parameters, transposed, law, np.log(density), cdf, median)


def _limit(law: Law, rows: int, cols: int) -> _Array:
    """The density on `GRID`, of mass one, in the limit of many rows and columns at their ratio."""
    ratio = cols / rows  # of the population's size to the number of independent rows
    mean = math.log(float(np.exp(law.logs) @ law.weights))
    narrow = 2 * math.log(max(abs(1 - math.sqrt(ratio)), 1e-4))  # where the bulk of one variance would begin
    low, high = (
        min(float(law.logs[0]), mean) + min(narrow - 1.0, -5.0),
        max(float(law.logs[-1]) + 2.0, mean + 3.0) + 0.5,
    )
    some = (low < GRID) & (high + max(math.log(ratio), 0.0) > GRID)
    density = np.zeros(len(GRID))
    density[some] = _density(law, ratio, np.exp(GRID[some]))
    return np.asarray(density.clip(0.0) / (density.clip(0.0).sum() * STEP))


def _density(law: Law, ratio: float, x: _Array) -> _Array:
    """The density of log λ at log x, up to a factor: x · Im v/π."""
    population, weights = np.exp(law.logs), law.weights
    z = x * (1 + 1j * _SMOOTHING[0])
    v = -1 / z
    for _ in range(12):  # the fixed point from afar
        v = -1 / (z - ratio * (1 - (1 / (1 + population * v[:, None])) @ weights) / v)
    densities = []
    for smoothing in _SMOOTHING:
        z = x * (1 + 1j * smoothing)
        for _ in range(3):
            share = 1 / (1 + population * v[:, None])
            left = share @ weights
            share *= share
            share *= population
            step = v - (z * v + 1 - ratio * (1 - left)) / (z - ratio * (share @ weights))
            astray = step.imag <= 0
            step[astray] = -1 / (z[astray] - ratio * (1 - left[astray]) / v[astray])
            v = step
        densities.append(v.imag * x / math.pi)
    third, second, last = densities[-3:]
    return np.asarray((8 * last - 6 * second + third) / 3)  # what is linear and quadratic in ε cancels
