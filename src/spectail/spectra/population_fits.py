"""The law of each family that is closest to a spectrum, and what is drawn with it.

Not here: the families (`tail_laws`), and which of them the tail follows (`tail_tests`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from spectail.spectra.independent_values import independent_fit, truncated_cdf
from spectail.spectra.precision import ZERO_SHARE
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
from spectail.spectra.tails import SHORT_TAIL

_Array = NDArray[np.float64]

_FEWEST_VISIBLE = 40  # eigenvalues of a power law past the threshold of Baik, Ben Arous & Péché

_REPELLING, _INDEPENDENT = 0.5307, 0.3863  # mean ratios of neighbouring spacings (Atas et al. 2013)

_OTHER_SIDE = 3.0  # what a population of the rows is charged, in units of log likelihood

_SHIFTS = 0.06 * np.arange(-10.0, 11.0)  # of log λ, about where the medians agree


def fits_of_families(logs: _Array, rows: int, cols: int, slices: int) -> list[Fit]:
    """The best law of each family; of independent values too, where eigenvalues do not repel each other.

    Args:
        logs: of the eigenvalues, ascending, about their median.
        rows: of the matrix.
        cols: of the matrix.
        slices: how many are pooled.
    """
    ratio, wide = _spacing_ratio(logs), 0.6 / math.sqrt(len(logs))
    middle = (_REPELLING + _INDEPENDENT) / 2
    repelling, independent = slices > 1 or ratio > middle - wide, slices > 1 or ratio < middle + wide
    families: dict[tuple[str, bool], list[SpectrumLaw]] = {}
    for law in spectrum_laws(rows, cols):
        if repelling or law.family.kind == NONE:
            families.setdefault((law.family.name, law.transposed), []).append(law)
    fits: list[Fit] = [MatrixFit(laws, logs, rows, cols) for laws in families.values()]
    return fits + (
        [IndependentFit(kind, logs) for kind in (POWER_LAW, TRUNCATED, LOGNORMAL, EXPONENTIAL)] * independent
    )


def _is_long(family: Family, parameters: Sequence[float], count: int, ratio: float) -> bool:
    """Whether a tail is of enough eigenvalues to be told: of a power law, enough that stand out of the bulk."""
    if family.tail_share(parameters) * count < SHORT_TAIL:
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


class MatrixFit:
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


class IndependentFit:
    """A law that the eigenvalues themselves follow, independent of each other."""

    tail_share = 1.0

    def __init__(self, kind: str, logs: _Array) -> None:
        self.kind = kind
        self._parameters, self.likelihood = independent_fit(kind, logs)
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
        parameters, _ = independent_fit(self.kind, logs)
        from_smallest = logs - logs.min()
        if self.kind == POWER_LAW:
            return _anderson_darling(-np.expm1(-parameters[0] * from_smallest))
        if self.kind == LOGNORMAL:
            return _anderson_darling(ndtr((logs - logs.mean()) / parameters[0]))
        if self.kind == EXPONENTIAL:
            return _anderson_darling(-np.expm1(-np.exp(logs) / np.exp(logs).mean()))
        return _anderson_darling(truncated_cdf(from_smallest, *parameters))

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
            logs = np.interp(stream.random(size), truncated_cdf(points, *self._parameters), points)
        return np.sort(logs)


Fit = MatrixFit | IndependentFit


def _peak(law: SpectrumLaw, logs: _Array) -> tuple[float, float]:
    """The largest log likelihood over all scales, and the shift of the logs where it is."""
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
