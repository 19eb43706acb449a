"""What the tail of a spectrum is: none, a power law, a truncated one, lognormal, exponential.

Not here: the exponents, which are in `tails`, and the laws that are compared, in `tail_laws`.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from scipy.special import chdtrc, erfcx, log_ndtr, ndtr
from torch import Tensor

from spectail.errors import SpectailError
from spectail.spectra.precision import ZERO_SHARE, takes_spectrum
from spectail.spectra.tail_laws import (
    EXPONENTIAL,
    LOGNORMAL,
    NONE,
    POWER_LAW,
    TRUNCATED,
    Family,
    SpectrumLaw,
    spectrum_law,
    spectrum_laws,
)
from spectail.spectra.tails import PowerLawFit, hill, ks_fit

_Array = NDArray[np.float64]

UNDECIDED = "undecided"
"""The kind of a tail that cannot be told, and then there is a note."""

FEWEST_IN_TAIL = 50
"""A tail of fewer eigenvalues has no kind."""

_FEWEST_VISIBLE = 40  # eigenvalues of a power law past the threshold of Baik, Ben Arous & Péché

DRAWS = 40
"""Matrices that are drawn with the fitted law; a law is ruled out where none of them lies as far from it."""

_SMALL, _LARGE = 256, 1024  # eigenvalues of a drawn matrix: half as many between these, of the same shape

_REPELLING, _INDEPENDENT = 0.5307, 0.3863  # mean ratios of neighbouring spacings (Atas et al. 2013)

_OTHER_SIDE = 3.0  # what a population of the rows is charged for, in units of log likelihood

_SHIFTS = 0.06 * np.arange(-10.0, 11.0)  # of log λ, about where the medians agree


@dataclass(frozen=True)
class TailKind:
    """What the tail of a spectrum is, and the evidence.

    Attributes:
        kind: "none", "power law", "truncated power law", "lognormal", "exponential"; "undecided" where too few
            eigenvalues tell.
        law: the law of the population that is closest, in words.
        alpha: the exponent of its density, τ^(−α); NaN where the kind is no power law.
        tail_size: eigenvalues of the population that follow it.
        p_value: share of matrices drawn with the law that lie as far from it as the spectrum; NaN where no law is
            tested, which is where the closest ends at an edge.
        draws: how many matrices were drawn.
        log_likelihoods: of the closest law of each kind, with its charges taken off.
        hill_spread: standard deviation of the exponent of `hill` over the drawn matrices.
        ks_spread: that of `ks_fit`.
        note: why there is no kind, or a law was ruled out.

    >>> tail_kind([3.0, 2.0, 1.0], 3, 3).note
    'the kind of a tail needs 50 positive eigenvalues, got 3'
    """

    kind: str
    law: str = ""
    alpha: float = math.nan
    tail_size: int = 0
    p_value: float = math.nan
    draws: int = 0
    log_likelihoods: tuple[tuple[str, float], ...] = ()
    hill_spread: float = math.nan
    ks_spread: float = math.nan
    note: str = ""


@takes_spectrum
def tail_kind(
    eigenvalues: Float[Tensor, " k"], rows: int, cols: int, *, slices: int = 1, draws: int = DRAWS, seed: int = 0
) -> TailKind:
    """Which law the population behind a spectrum follows, of those that have a tail and those that have none.

    For each family of laws, of each kind, the spectrum of a matrix with that population is known (`tail_laws`); the
    family, parameters and scale of largest likelihood win, with Schwarz's charge for parameters. Where neighbouring
    eigenvalues do not repel each other, they are independent values of a law themselves, and no matrix stands between.

    A law with a tail must then be a plausible one: matrices are drawn with it, the law is fitted anew to each, and
    their Anderson–Darling distances compared with that of the spectrum. A law that none of the draws is as far from is
    ruled out, and the kind is "none".

    Args:
        eigenvalues: of WᵀW, any order; zeros are left out.
        rows: of W.
        cols: of W; the population is rather that of the columns, W = G·Σ^{1/2}, but that of the rows is tried.
        slices: how many matrices are pooled.
        draws: how many matrices are drawn; 0 for no test.
        seed: of the draws; the global random state is neither read nor moved.

    Raises:
        SpectailError: there is no eigenvalue, they are not in one dimension, or rows or cols is below 1.

    Source: Clauset, Shalizi & Newman (2009) ask these questions of independent values; Silverstein (1995) has the
    spectrum of a population.

    >>> stream = np.random.default_rng(0)
    >>> scales = np.exp(stream.standard_normal(150) / 2)  # √τ, so that log τ has a standard deviation of one
    >>> spectrum = np.linalg.svd(stream.standard_normal((300, 150)) * scales, compute_uv=False) ** 2
    >>> tail_kind(spectrum, 300, 150, draws=20).kind
    'lognormal'
    """
    if rows < 1 or cols < 1:
        raise SpectailError(f"a matrix has at least one row and column, got {rows}×{cols}")
    values = np.sort(eigenvalues.detach().to("cpu", torch.float64).numpy())
    if not np.isfinite(values).all():
        return TailKind(UNDECIDED, note="an eigenvalue is NaN or inf")
    values = values[values > values[-1] * ZERO_SHARE]
    if len(values) < FEWEST_IN_TAIL:
        why = f"the kind of a tail needs {FEWEST_IN_TAIL} positive eigenvalues, got {len(values)}"
        return TailKind(UNDECIDED, note=why)
    if slices == 1 and len(values) < min(rows, cols):  # of a lower rank
        rows, cols = (len(values), cols) if rows < cols else (rows, len(values))
    logs = np.log(values) - math.log(float(np.median(values)))
    if logs[-1] - logs[0] < 1e-6:
        return TailKind(UNDECIDED, note="the eigenvalues are all equal, to rounding")
    fits = _fits(logs, rows, cols, slices)
    best = max(fits, key=lambda fit: fit.score)
    scores: dict[str, float] = {}
    for fit in fits:
        scores[fit.kind] = max(fit.score, scores.get(fit.kind, -math.inf))
    answer = TailKind(best.kind, best.words, log_likelihoods=tuple(scores.items()))
    if best.kind == NONE:
        return answer
    answer = _tested(answer, best, logs, slices, draws, np.random.default_rng(seed))
    others = [fit for fit in fits if fit.likelihood > best.likelihood and fit.score > scores[NONE]]
    if answer.kind == NONE and others:  # what is closer, but was charged for parameters
        closer = max(others, key=lambda fit: fit.score)
        second = _tested(replace(answer, note=""), closer, logs, slices, draws, np.random.default_rng(seed))
        return second if second.kind != NONE else answer
    return answer


def _tested(
    answer: TailKind, best: _Fit, logs: _Array, slices: int, draws: int, stream: np.random.Generator
) -> TailKind:
    """The answer, with what is drawn with the law says of it."""
    size = min(len(logs), max(_SMALL, min(len(logs) // 2, _LARGE)))
    if draws:
        best.refine(logs, size)
    spectra = [best.draw(size, slices, stream) for _ in range(draws)]
    thinned = np.quantile(logs, (np.arange(size) + 0.5) / size) if size < len(logs) else logs
    limit = best.distance(thinned) * len(logs) / size if draws else math.nan
    as_far = sum(best.distance(spectrum) >= limit for spectrum in spectra)
    drawn = [torch.from_numpy(np.exp(spectrum)) for spectrum in spectra]
    alphas = np.array([(hill(spectrum), ks_fit(spectrum).alpha) for spectrum in drawn]).reshape(-1, 2)
    shrink = math.sqrt(size / len(logs))  # populations are of independent values
    spreads = (alphas.std(0, ddof=1) * shrink).tolist() if draws > 1 else (math.nan, math.nan)
    answer = replace(
        answer,
        kind=best.kind,
        law=best.words,
        p_value=(1 + as_far) / (1 + draws) if draws else math.nan,
        draws=draws,
        hill_spread=spreads[0],
        ks_spread=spreads[1],
    )
    if draws and not as_far:
        why = f"no law of a tail fits: of {draws} spectra drawn with the closest, {best.words}, none is as far from it"
        return replace(answer, kind=NONE, note=why)
    return replace(answer, alpha=best.alpha, tail_size=round(best.tail_share * len(logs)))


def _fits(logs: _Array, rows: int, cols: int, slices: int) -> list[_Fit]:
    """The best law of each family."""
    ratio, wide = _spacing_ratio(logs), 0.6 / math.sqrt(len(logs))
    middle = (_REPELLING + _INDEPENDENT) / 2
    repelling, independent = slices > 1 or ratio > middle - wide, slices == 1 and ratio < middle + wide
    families: dict[tuple[str, bool], list[SpectrumLaw]] = {}
    for law in spectrum_laws(rows, cols):
        if repelling or law.family.kind == NONE:
            families.setdefault((law.family.name, law.transposed), []).append(law)
    fits: list[_Fit] = [_MatrixFit(laws, logs, rows, cols) for laws in families.values()]
    return fits + (
        [_IndependentFit(kind, logs) for kind in (POWER_LAW, TRUNCATED, LOGNORMAL, EXPONENTIAL)] * independent
    )


def _is_long(family: Family, parameters: Sequence[float], count: int, ratio: float) -> bool:
    """Whether a tail is of enough eigenvalues to be told: of a power law, enough that stand out of the bulk."""
    if family.tail_share(parameters) * count < FEWEST_IN_TAIL:
        return False
    if family.kind not in (POWER_LAW, TRUNCATED):
        return True
    visible = math.exp(
        -parameters[0] * math.log1p(math.sqrt(ratio))
    )  # of the population, past what noise of one variance hides
    return family.tail_share(parameters) * visible * count * max(ratio, 1.0) >= _FEWEST_VISIBLE


def _spacing_ratio(logs: _Array) -> float:
    """The mean ratio of the smaller of two neighbouring spacings to the larger."""
    spacings = np.diff(np.exp(logs))
    smaller, larger = np.minimum(spacings[1:], spacings[:-1]), np.maximum(spacings[1:], spacings[:-1])
    return float((smaller[larger > 0] / larger[larger > 0]).mean())


class _MatrixFit:
    """The best law of a family for the population of a matrix."""

    def __init__(self, laws: Sequence[SpectrumLaw], logs: _Array, rows: int, cols: int) -> None:
        family = laws[0].family
        self._family, self._transposed, self._shape = family, laws[0].transposed, (rows, cols)
        self.kind = family.kind
        ratio = rows / cols if self._transposed else cols / rows
        enough = [_is_long(family, law.parameters, len(logs), ratio) for law in laws]
        peaks = np.array([_peak(law, logs)[0] if some else -math.inf for law, some in zip(laws, enough, strict=True)])
        peaks = peaks.reshape([len(values) for values in family.grid])
        place = tuple(map(int, np.unravel_index(int(peaks.argmax()), peaks.shape)))
        likelihood, steps = float(peaks[place]), []
        for axis, values in enumerate(family.grid):
            higher, offset = _vertex(np.moveaxis(peaks, axis, -1)[place[:axis] + place[axis + 1 :]], place[axis])
            likelihood += (higher - float(peaks[place])) * (self.kind != NONE)
            steps.append(offset * math.log(values[1] / values[0]))
        self._parameters = tuple(
            values[at] * math.exp(step) for values, at, step in zip(family.grid, place, steps, strict=True)
        )
        other_side = self._transposed and family.either_side
        charge = family.free * 0.5 * math.log(len(logs)) + family.cost + _OTHER_SIDE * other_side
        self.likelihood, self.score = likelihood, likelihood - charge
        self._laws: list[SpectrumLaw] = []

    @property
    def words(self) -> str:
        """The law."""
        of = " of the rows" if self._transposed else ""
        return f"{self._family.name}{of}" + "".join(f", {value:.3g}" for value in self._parameters)

    @property
    def tail_share(self) -> float:
        """How much of the population follows it."""
        return self._family.tail_share(self._parameters)

    @property
    def alpha(self) -> float:
        """The exponent of the population."""
        return 1.0 + self._parameters[0] if self.kind in (POWER_LAW, TRUNCATED) else math.nan

    def refine(self, logs: _Array, size: int) -> None:
        """Find the parameters between those of the grid, and the laws about them that draws are compared with."""
        steps = [0.5 * math.log(values[1] / values[0]) for values in self._family.grid]
        finest = 0.5 / math.sqrt(size * self.tail_share)
        while True:
            self._laws = [self._law(offsets) for offsets in product(*[(-step, 0.0, step) for step in steps])]
            best = max(self._laws, key=lambda law: _peak(law, logs)[0])
            self._parameters = best.parameters
            if max(steps, default=0.0) <= finest:
                break
            steps = [max(step / 2, finest) for step in steps]
        around = (-3, -2, -1, 0, 1, 2, 3) if len(steps) == 1 else (-2, 0, 2)
        self._laws = [self._law(offsets) for offsets in product(*[[k * finest for k in around] for _ in steps])]

    def _law(self, offsets: Sequence[float]) -> SpectrumLaw:
        moved = [value * math.exp(offset) for value, offset in zip(self._parameters, offsets, strict=True)]
        if self._family.name.endswith("above a bulk"):
            moved[1] = min(moved[1], 0.95)
        return spectrum_law(self._family, tuple(moved), *self._shape, self._transposed)

    def distance(self, logs: _Array) -> float:
        """Anderson–Darling distance from the law that fits best, of those about the one that was found."""
        peaks = [_peak(law, logs) for law in self._laws]
        at = max(range(len(peaks)), key=lambda i: peaks[i][0])
        return _anderson_darling(self._laws[at].share_below(logs + peaks[at][1]))

    def draw(self, size: int, slices: int, stream: np.random.Generator) -> _Array:
        """Log eigenvalues of a matrix with that population."""
        law = self._family.law(*self._parameters)
        rows, cols = self._shape[::-1] if self._transposed else self._shape
        smaller = min(size / (slices * min(rows, cols)), 1.0)
        if slices > 1:
            slices = max(round(slices * smaller), 1)
            smaller = min(size / (slices * min(rows, cols)), 1.0)
        rows, cols = max(round(rows * smaller), 1), max(round(cols * smaller), 1)
        spectra = [_spectrum(law.draw(cols, stream), rows, stream) for _ in range(slices)]
        values = np.sort(np.concatenate(spectra))
        logs = np.log(values[values > values[-1] * ZERO_SHARE])
        return np.asarray(logs - np.median(logs))


def _spectrum(population: _Array, rows: int, stream: np.random.Generator) -> _Array:
    """The nonzero eigenvalues of WᵀW for W = G·diag(√τ)."""
    cols = len(population)
    if rows < cols:
        scaled = stream.standard_normal((rows, cols)) * np.sqrt(population)
    else:  # GᵀG = LLᵀ (Bartlett 1933)
        factor = np.tril(stream.standard_normal((cols, cols)), -1)
        np.fill_diagonal(factor, np.sqrt(stream.chisquare(np.arange(rows, rows - cols, -1))))
        scaled = factor * np.sqrt(population)[:, None]
    return np.asarray(np.linalg.eigvalsh(scaled @ scaled.T), dtype=np.float64)


class _IndependentFit:
    """A law that the eigenvalues themselves follow, independent of each other."""

    tail_share = 1.0

    def __init__(self, kind: str, logs: _Array) -> None:
        self.kind = kind
        self._parameters, self.likelihood = _fit_independent(kind, logs)
        free = {POWER_LAW: 1, TRUNCATED: 2, LOGNORMAL: 1, EXPONENTIAL: 0}[kind]
        self.score = self.likelihood - free * 0.5 * math.log(len(logs)) - 0.5

    @property
    def words(self) -> str:
        """The law."""
        return f"{self.kind} of independent eigenvalues" + "".join(f", {value:.3g}" for value in self._parameters)

    @property
    def alpha(self) -> float:
        """The exponent of the eigenvalues."""
        return 1.0 + self._parameters[0] if self.kind in (POWER_LAW, TRUNCATED) else math.nan

    def refine(self, logs: _Array, size: int) -> None:
        """It is exact already."""

    def distance(self, logs: _Array) -> float:
        """Anderson–Darling distance from the law that fits best."""
        parameters, _ = _fit_independent(self.kind, logs)
        from_smallest = logs - logs.min()
        if self.kind == POWER_LAW:
            return _anderson_darling(-np.expm1(-parameters[0] * from_smallest))
        if self.kind == LOGNORMAL:
            return _anderson_darling(ndtr((logs - logs.mean()) / parameters[0]))
        if self.kind == EXPONENTIAL:
            return _anderson_darling(-np.expm1(-np.exp(logs) / np.exp(logs).mean()))
        return _anderson_darling(_truncated_cdf(from_smallest, *parameters))

    def draw(self, size: int, slices: int, stream: np.random.Generator) -> _Array:
        """Log values of the law."""
        if self.kind == POWER_LAW:
            logs = stream.exponential(1 / self._parameters[0], size)
        elif self.kind == LOGNORMAL:
            logs = self._parameters[0] * stream.standard_normal(size)
        elif self.kind == EXPONENTIAL:
            logs = np.log(stream.exponential(size=size))
        else:
            points = np.linspace(0.0, math.log1p(40.0 / self._parameters[1]), 4000)
            logs = np.interp(stream.random(size), _truncated_cdf(points, *self._parameters), points)
        return np.sort(logs)


_Fit = _MatrixFit | _IndependentFit


def _fit_independent(kind: str, logs: _Array) -> tuple[tuple[float, ...], float]:
    """Parameters, and the log likelihood of the logs; power laws begin at the smallest value."""
    count, y = len(logs), logs - logs.min()
    rate = (count - 1) / float(y.sum())
    power = count * math.log(rate) - rate * float(y.sum())
    if kind == POWER_LAW:
        return (rate,), power
    if kind == LOGNORMAL:
        sigma = float(logs.std())
        return (sigma,), -count * math.log(sigma * math.sqrt(2 * math.pi * math.e))
    if kind == EXPONENTIAL:
        scaled = np.exp(logs) / np.exp(logs).mean()
        return (), float((np.log(scaled) - scaled).sum())
    return _fit_truncated(y, rate, power)


def _fit_truncated(y: _Array, rate: float, power: float) -> tuple[tuple[float, ...], float]:
    """The truncated power law of y = log(λ/xmin): rate, cut, and the log likelihood of y."""
    from scipy.optimize import minimize  # 0.2 s to import, for what is asked on request

    total, values = float(y.sum()), float(np.exp(y).sum())

    def cost(parameters: _Array) -> float:
        if parameters[0] < 0.0 or not -28.0 < parameters[1] < 7.0:
            return math.inf
        exponent, cut = float(parameters[0]), math.exp(float(parameters[1]))
        return exponent * total + cut * values + len(y) * math.log(_truncated_mass(exponent, cut))

    best = minimize(cost, [rate, -float(y.max())], method="Nelder-Mead", options={"maxiter": 200})
    return (max(float(best.x[0]), 0.0), math.exp(float(best.x[1]))), max(-float(best.fun), power)


def _truncated_mass(rate: float, cut: float) -> float:
    """∫ e^(−rate·y − cut·eʸ) dy from 0: the generalised exponential integral."""
    y = np.linspace(0.0, math.log1p(40.0 / cut), 2001)
    density = np.exp(-rate * y - cut * np.exp(y))
    density[1:-1:2] *= 4  # Simpson's rule
    density[2:-1:2] *= 2
    return float(density.sum() * y[1] / 3)


def _truncated_cdf(y: _Array, rate: float, cut: float) -> _Array:
    points = np.linspace(0.0, math.log1p(40.0 / cut), 4000)
    density = np.exp(-rate * points - cut * np.exp(points))
    cumulative = np.append(0.0, np.cumsum((density[1:] + density[:-1]) / 2))
    return np.asarray(np.interp(y, points, cumulative / cumulative[-1]))


def _peak(law: SpectrumLaw, logs: _Array) -> tuple[float, float]:
    """The largest log likelihood over the scale, and the shift of the logs where it is."""
    totals = law.log_likelihood(logs + law.median + _SHIFTS[:, None]).sum(1)
    at = int(totals.argmax())
    peak, offset = _vertex(totals, at)
    return peak, law.median + float(_SHIFTS[at]) + offset * float(_SHIFTS[1] - _SHIFTS[0])


def _vertex(values: _Array, at: int) -> tuple[float, float]:
    """Of the parabola through a largest value and its neighbours: its top, and how far from that value it is."""
    if not 0 < at < len(values) - 1 or not np.isfinite(values[at - 1 : at + 2]).all():
        return float(values[at]), 0.0
    before, middle, after = values[at - 1 : at + 2].tolist()
    bend = before - 2 * middle + after
    return (middle - (before - after) ** 2 / (8 * bend), (before - after) / (2 * bend)) if bend < 0 else (middle, 0.0)


def _anderson_darling(shares: _Array) -> float:
    """A² of the shares of a law below each value, ascending."""
    shares, count = shares.clip(1e-9, 1 - 1e-9), len(shares)
    weights = (2 * np.arange(count) + 1) / count
    return float(-count - (weights * (np.log(shares) + np.log1p(-shares[::-1]))).sum())


@dataclass(frozen=True)
class LikelihoodRatio:
    """How much better a power law describes a tail than another law does.

    Attributes:
        alternative: the other law.
        ratio: the log likelihood ratio over its standard deviation: positive where the power law fits better.
        p_value: how often a ratio so far from zero comes up where both are equally good.

    >>> LikelihoodRatio("lognormal", ratio=-2.5, p_value=0.012).ratio < 0  # the lognormal fits better
    True
    """

    alternative: str
    ratio: float
    p_value: float


@takes_spectrum
def likelihood_ratios(eigenvalues: Float[Tensor, " k"], xmin: float) -> tuple[LikelihoodRatio, ...]:
    """A power law against the three other laws, on the eigenvalues from xmin up, each conditioned on λ ≥ xmin.

    They take eigenvalues for independent, which they are not: a ratio says which law is closer, and its p-value is
    that of the field, not one of spectra; `tail_kind` has one.

    Args:
        eigenvalues: of WᵀW, any order.
        xmin: where the tail starts, as `ks_fit` finds it.

    Returns:
        for the lognormal, the exponential and the truncated power law, in which the power law is nested; NaN where
        fewer than three eigenvalues lie in the tail, or all of them are equal.

    Raises:
        SpectailError: there is no eigenvalue, or they are not in one dimension.

    Source: Vuong (1989); Clauset, Shalizi & Newman (2009), §5.

    >>> power_law = torch.linspace(0.005, 1.0, 200) ** -0.5  # the quantiles of α = 3, evenly
    >>> [one.alternative for one in likelihood_ratios(power_law, 1.0) if one.ratio > 2]
    ['exponential']
    """
    values = eigenvalues.detach().to("cpu", torch.float64).numpy()
    y = np.log(values[values >= xmin * (1 - 1e-12)] / xmin).clip(0.0) if xmin > 0 else np.zeros(0)
    alternatives = (LOGNORMAL, EXPONENTIAL, TRUNCATED)
    if len(y) < 3 or not np.isfinite(y).all() or y.max() == 0.0:
        return tuple(LikelihoodRatio(alternative, math.nan, math.nan) for alternative in alternatives)
    rate = 1 / float(y.mean())
    power = math.log(rate) - rate * y
    return tuple(_vuong(alternative, power - _log_density(alternative, y, rate)) for alternative in alternatives)


def _vuong(alternative: str, gains: _Array) -> LikelihoodRatio:
    total, spread = float(gains.sum()), float(gains.std()) * math.sqrt(len(gains))
    if alternative == TRUNCATED:  # which has a parameter more, and is no worse but for where the search ends
        total = min(total, 0.0)
        p_value = float(chdtrc(1, -2 * total))
    else:
        p_value = math.erfc(abs(total) / spread / math.sqrt(2)) if spread > 0 else 1.0
    return LikelihoodRatio(alternative, total / spread if spread > 0 else 0.0, p_value)


def _log_density(kind: str, y: _Array, rate: float) -> _Array:
    """Of y = log(λ/xmin), by the law that fits best."""
    from scipy.optimize import minimize

    if kind == EXPONENTIAL:
        scale = float(np.expm1(y).mean())
        return y - np.expm1(y) / scale - math.log(scale)
    if kind == TRUNCATED:
        (exponent, cut), _ = _fit_truncated(y, rate, -math.inf)
        return -exponent * y - cut * np.exp(y) - math.log(_truncated_mass(exponent, cut))
    first, second = float(y.mean()), float((y**2).mean())  # a normal law of y, cut at zero: exp(−slope·y − bend·y²)

    def cost(parameters: _Array) -> float:
        if abs(parameters[1]) > 30.0 or abs(parameters[0]) > 1e6:
            return math.inf
        slope, bend = float(parameters[0]), math.exp(float(parameters[1]))
        return slope * first + bend * second + _log_mass(slope, bend)

    start = [rate, min(max(-2 * math.log(float(y.max())) - 2, -20.0), 20.0)]
    best = minimize(cost, start, method="Nelder-Mead", options={"maxiter": 400})
    slope, bend = float(best.x[0]), math.exp(float(best.x[1]))
    return -slope * y - bend * y**2 - _log_mass(slope, bend)


def _log_mass(slope: float, bend: float) -> float:
    """Log ∫ e^(−slope·y − bend·y²) dy from 0."""
    place = slope / (2 * math.sqrt(bend))
    if place > 0:  # where the other way loses all digits
        return 0.5 * math.log(math.pi / (4 * bend)) + math.log(erfcx(place))
    return 0.5 * math.log(math.pi / bend) + place**2 + float(log_ndtr(-math.sqrt(2) * place))


@dataclass(frozen=True)
class GoodnessOfFit:
    """Deprecated: the share of resampled spectra that lie further from their power law than the data from theirs.

    Attributes:
        p_value: below 0.1, say, the power law is ruled out; a large value does not prove it.
        stderr: of the p-value, √(p(1 − p)/resamples).
        resamples: how many there were.

    >>> GoodnessOfFit(p_value=0.5, stderr=0.035, resamples=200).p_value < 0.1  # is the power law ruled out?
    False
    """

    p_value: float
    stderr: float
    resamples: int


@takes_spectrum
def bootstrap_p_value(
    eigenvalues: Float[Tensor, " k"], fit: PowerLawFit, *, resamples: int = 200, seed: int = 0
) -> GoodnessOfFit:
    """Deprecated: goodness of the fit of `ks_fit`, against resamples of independent values.

    Eigenvalues repel each other and scatter less about a law than those: nearly every spectrum passes. `tail_kind`
    draws matrices instead.

    Args:
        eigenvalues: the spectrum that was fitted, any order.
        fit: what `ks_fit` finds for it.
        resamples: how many.
        seed: of the resamples.

    Source: Clauset, Shalizi & Newman (2009), §4.1.

    >>> with warnings.catch_warnings(action="ignore"):
    ...     bootstrap_p_value([1.0, 2.0, 4.0], ks_fit([1.0, 2.0, 4.0]), resamples=5).resamples
    5
    """
    warnings.warn("bootstrap_p_value has no power on spectra; see tail_kind", DeprecationWarning, stacklevel=3)
    if math.isnan(fit.alpha):
        return GoodnessOfFit(math.nan, math.nan, 0)
    values = eigenvalues.detach().to("cpu", torch.float64).sort().values.numpy()
    values = values[values > values[-1] * ZERO_SHARE]
    body = values[: len(values) - fit.tail_size]
    stream = np.random.default_rng(seed)
    further = 0
    for _ in range(resamples):
        in_tail = int(stream.binomial(len(values), fit.tail_size / len(values))) if len(body) else len(values)
        tail = fit.xmin * (1.0 - stream.random(in_tail)) ** (-1.0 / (fit.alpha - 1.0))
        drawn = np.concatenate([stream.choice(body, len(values) - in_tail), tail]) if len(body) else tail
        further += ks_fit(torch.from_numpy(drawn)).ks_distance >= fit.ks_distance
    p = further / resamples
    return GoodnessOfFit(p, math.sqrt(p * (1.0 - p) / resamples), resamples)
