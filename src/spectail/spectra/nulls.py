"""What a spectrum says of a matrix of independent Gaussians: the null of each statistic, for every shape.

Not here: the nulls that were simulated before, which `analysis.null_cache` keeps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from scipy.linalg import eigvalsh_tridiagonal
from scipy.linalg.lapack import dsterf
from scipy.special import entr, gammainccinv, gammaincinv, ndtri  # scipy.stats takes half a second to import
from torch import Tensor

from spectail.errors import SpectailError
from spectail.spectra.bulk import MarchenkoPastur
from spectail.spectra.finite_size import KS_GROWTH, Ensemble, Moments, carried_over
from spectail.spectra.tails import ks_fit

_DRAWS = 3000  # a change needs a new `_EDITION` in analysis/null_cache.py
"""Spectra that a null comes from: its mean is known to 1/√3000 = 0.02 of its spread, and the spread to 0.013 of itself.

Thus 4.6 ± 0.3 % of untrained matrices have |z| > 2."""

_WORK = 5e7  # of all slices together, in b²: about a second. A larger matrix is drawn smaller, and carried over

_SLICES = 200_000  # small ones: two seconds

# Where slices are pooled, they are drawn for fewer spectra, and combined anew to 3000. The mean is then known as from
# so many independent spectra; where a spectrum pools thousands of slices, as from so few at least.
_INDEPENDENT, _FEWEST_INDEPENDENT = 400, 100

# Entries of one balanced matrix and of all, which are drawn whole: two seconds. Where `_INDEPENDENT` matrices have
# more, the sums of products of their rows are drawn instead.
_ENTRIES, _ALL_ENTRIES = 6e4, 6e7

_EIGENVALUES = 2e7  # of all slices together, in memory

_REDUCED = 96  # to which b is reduced if more slices can be drawn then

_SMALLEST = (
    24  # below which b is not reduced, however many slices there are: there, powers of b that are left out would count
)

_VALUES = 5e6  # pooled eigenvalues of all spectra together: a second of sorting and comparing

# KS fits, of whose exponent only the typical value is asked: at most so many, of so many values together, but at least
# so few.
_MOST_FITS, _FITTED_VALUES, _FEWEST_FITS = 300, 4e5, 16

_BALANCING = 8  # rounds of scaling rows and columns (Sinkhorn's iteration), to 1e-3 and better

_BATCH = 2**20  # numbers in memory at a time


Z_UNLIKELY = 3.0
"""Standard deviations from the null that an untrained matrix is not expected to reach."""


@dataclass(frozen=True)
class ExponentNull:
    """How an exponent α spreads over Gaussian matrices of one shape.

    The moments are those of log(α − 1), which is close to normal: α − 1 itself is the reciprocal of a mean, and skewed.

    Attributes:
        mean: of log(α − 1).
        spread: its standard deviation.
        draws: how many simulated matrices both come from; the spread is known to 1/√(2·draws) of itself.
    """

    mean: float
    spread: float
    draws: int

    @property
    def alpha(self) -> float:
        """The typical exponent of an untrained matrix, 1 + exp(mean): about its median."""
        return 1.0 + math.exp(self.mean)

    @property
    def log_spread(self) -> float:
        """The typical mean of log λ/median above the median, 1/(α − 1)."""
        return math.exp(-self.mean)

    def z(self, alpha: float) -> float:
        """How many standard deviations log(α − 1) lies above the null's; negative for a heavier tail.

        NaN for a NaN.

        >>> ExponentNull(mean=0.0, spread=0.5, draws=100).z(1.0 + math.e)
        2.0
        """
        return (math.log(alpha - 1.0) - self.mean) / self.spread if alpha > 1.0 else math.nan


@dataclass(frozen=True)
class StatisticNull:
    """How a statistic of the spectrum spreads over Gaussian matrices of one shape: three moments.

    Attributes:
        mean: of the statistic; where it is positive by definition, of its logarithm.
        spread: standard deviation of the same.
        skewness: of the same.
        draws: how many simulated spectra they come from.
        of_log: whether the moments are those of the logarithm.
    """

    mean: float
    spread: float
    skewness: float
    draws: int
    of_log: bool = False

    def z(self, value: float) -> float:
        """How many standard deviations a value lies above the null's mean; NaN where it has no logarithm.

        >>> StatisticNull(mean=1.0, spread=0.5, skewness=0.3, draws=100).z(2.0)
        2.0
        """
        if self.of_log:
            value = math.log(value) if value > 0 else math.nan
        return (value - self.mean) / self.spread

    def upper(self, share: float) -> float:
        """The value that a share of untrained matrices passes, by a gamma law of the three moments.

        Args:
            share: between 0 and 1, such as 0.005.

        >>> round(StatisticNull(mean=1.0, spread=0.5, skewness=0.0, draws=100).upper(0.025), 2)
        1.98
        """
        skewness = abs(self.skewness)
        if skewness < 1e-3:  # the gamma law's limit
            deviation = -float(ndtri(share))
        else:
            shape = 4.0 / skewness**2
            tail = gammainccinv(shape, share) if self.skewness > 0 else -gammaincinv(shape, share)
            deviation = float(tail - math.copysign(shape, self.skewness)) / math.sqrt(shape)
        value = self.mean + self.spread * deviation
        return math.exp(value) if self.of_log else value


@dataclass(frozen=True)
class Nulls:
    """The nulls of matrices of one shape, one for each statistic of a spectrum; none depends on the entries' variance.

    The law is `fit_marchenko_pastur` of the spectrum; for pooled slices, of all their eigenvalues with the
    shape of one slice. Its λ₊ is `edges[1]`, its Tracy–Widom scale `edge_fluctuation`.

    Attributes:
        hill: exponent of `hill`.
        alpha_ks: the typical exponent of `ks_fit`, of which no z is given: its spread is a factor of 1.7 whatever
            the size, skewed, so that heavy tails that `hill` finds at 10 deviations are within 2 of it.
        edge: (λ_max − λ₊) over the Tracy–Widom scale: how far the largest eigenvalue lies past the edge.
        distance: Kolmogorov–Smirnov distance of the spectrum to the law.
        effective_rank: `effective_rank` over the number of eigenvalues.
        stable_rank: `stable_rank` over the number of eigenvalues.

    >>> nulls = simulate_nulls(30, 20, draws=20)
    >>> abs(nulls.hill.z(nulls.hill.alpha)) < 1e-9
    True
    """

    hill: ExponentNull
    alpha_ks: float
    edge: StatisticNull
    distance: StatisticNull
    effective_rank: StatisticNull
    stable_rank: StatisticNull


def simulate_nulls(
    rows: int,
    cols: int,
    slices: int = 1,
    *,
    normalised: bool = False,
    balanced: bool = False,
    draws: int | None = None,
    seed: int = 0,
) -> Nulls:
    """Every statistic on Gaussian matrices of a shape, pooled where there are several slices.

    No statistic depends on the variance, so one simulation serves every matrix of the shape. Large matrices
    are drawn smaller, with the same ratio of sides, and `finite_size.carried_over` to their size.

    Args:
        rows: of one matrix.
        cols: of one matrix.
        slices: how many matrices are pooled into one spectrum.
        normalised: whether the eigenvalues of each slice are divided by their mean before they are pooled.
        balanced: whether rows and columns are scaled to one norm before eigenvalues are taken, as they are of a
            matrix whose unequal norms are taken out: log(α_H − 1) then lies about a standard deviation higher,
            and the largest eigenvalue one lower, at 16×16 as at 1000×500. Ignored where several slices are pooled:
            over many it makes no difference.
        draws: how many spectra to draw; by default 3000, of fewer slices in several combinations where many
            are pooled, which takes two seconds or less.
        seed: with the shape, it fixes the draws. The global random state is neither read nor moved.

    Raises:
        SpectailError: the spectra have fewer than three eigenvalues, whose exponents do not spread; or slices of one
            row or column are normalised.

    >>> 2.0 < simulate_nulls(30, 20, draws=20).hill.alpha < 3.0
    True
    """
    shape = Ensemble(max(rows, cols), min(rows, cols), slices)
    if shape.shorter < 1 or slices * shape.shorter < 3:
        raise SpectailError(f"a null needs three eigenvalues, got {slices} × {shape.shorter}")
    if normalised and shape.shorter == 1:
        raise SpectailError("slices of one row or column have one eigenvalue each, which is 1 once it is normalised")
    balanced = balanced and slices == 1
    if balanced:
        small = shape.reduced(max(min(int(math.sqrt(_ENTRIES * shape.shorter / shape.longer)), _REDUCED), _SMALLEST))
        affordable = int(_ALL_ENTRIES / (small.longer * small.shorter))
        groups = draws or (min(affordable, _DRAWS) if affordable >= _INDEPENDENT else _DRAWS)
    else:
        groups = draws or _independent(shape)
        small = shape.reduced(max(int(math.sqrt(_WORK / (groups * slices))), _SMALLEST))
    most = groups if slices == 1 else min(_DRAWS, int(_VALUES / (slices * small.shorter)))
    spectra = draws or max(groups, most)
    stream = np.random.default_rng([seed, shape.longer, shape.shorter, slices])
    draw = _spectra_of_slices
    if balanced:
        draw = _spectra_of_balanced if affordable >= _INDEPENDENT else _spectra_of_long_balanced
    pool = draw(small.longer, small.shorter, groups * slices, stream)
    if normalised:
        pool /= pool.mean(1, keepdims=True)
    statistics: list[NDArray[np.float64]] = []
    alphas: list[float] = []
    fits = max(min(int(_FITTED_VALUES / pool[:slices].size), _MOST_FITS), _FEWEST_FITS)
    for count in _counts(spectra, groups):
        grouped = pool.reshape(groups, -1)[:count]
        for block in np.array_split(grouped, math.ceil(grouped.size / _BATCH)):
            ordered = np.sort(block, 1)
            statistics.append(_statistics(ordered, small.law))
            alphas += [ks_fit(torch.from_numpy(spectrum)).alpha for spectrum in ordered[: fits - len(alphas)]]
        if slices > 1:
            pool = pool[stream.permutation(len(pool))]
    moments = {
        name: Moments.of(values) for name, values in zip(_STATISTICS, np.concatenate(statistics, 1), strict=True)
    }
    if small != shape:
        moments = carried_over(moments, small, shape)
    log_ks = np.log(np.array(alphas) - 1.0).mean() + KS_GROWTH * math.log(shape.shorter / small.shorter)
    hill = moments.pop("hill")
    others = {name: StatisticNull(m.mean, m.spread, m.skewness, spectra, name != "edge") for name, m in moments.items()}
    return Nulls(ExponentNull(hill.mean, hill.spread, spectra), 1.0 + math.exp(log_ks), **others)


def _independent(shape: Ensemble) -> int:
    """How many spectra's worth of slices are drawn."""
    if shape.slices == 1:
        return _DRAWS
    affordable = min(int(_WORK / min(shape.shorter, _REDUCED) ** 2), _SLICES) // shape.slices
    least = max(min(_INDEPENDENT, _SLICES // shape.slices), _FEWEST_INDEPENDENT)
    most = int(_EIGENVALUES / (shape.slices * min(shape.shorter, _SMALLEST)))
    return max(min(max(affordable, least), _DRAWS, most), _FEWEST_FITS)


_STATISTICS = ("hill", "edge", "distance", "effective_rank", "stable_rank")


def _statistics(spectra: NDArray[np.float64], law: MarchenkoPastur) -> NDArray[np.float64]:
    """Of sorted spectra, one a row, what `Nulls` holds: log(α_H − 1), the edge, and the logarithms of the others."""
    size = spectra.shape[1]
    upper = spectra[:, size // 2 :]
    hill = -np.log(np.log(upper / upper[:, :1]).mean(1))
    median = (spectra[:, (size - 1) // 2] + spectra[:, size // 2]) / 2
    variance = median / law.median()  # as `fit_marchenko_pastur` has it, of all at once
    scaled = spectra / variance[:, None]
    edge = (scaled[:, -1] - law.edges[1]) / law.edge_fluctuation
    below, steps = law.cdf(torch.from_numpy(scaled)).numpy(), np.arange(size + 1) / size
    distance = np.maximum(np.abs(below - steps[:-1]), np.abs(steps[1:] - below)).max(1)
    singular = np.sqrt(spectra)
    shares = singular / singular.sum(1, keepdims=True)
    entropy = entr(shares).sum(1)
    stable = spectra.mean(1) / spectra[:, -1]
    return np.stack([hill, edge, np.log(distance), entropy - math.log(size), np.log(stable)])


def _spectra_of_slices(longer: int, b: int, count: int, stream: np.random.Generator) -> NDArray[np.float64]:
    """`gaussian_spectrum` of many matrices of one shape, one a row, with little beside LAPACK's time."""
    spectra = np.empty((count, b))
    for start in range(0, count, block := max(_BATCH // b, 1)):
        here = spectra[start : start + block]
        here[:], off = _tridiagonals(longer, b, (len(here),), stream)
        for i in range(len(here) if b > 1 else 0):
            here[i] = dsterf(here[i], off[i])[0]
    return np.maximum(spectra, 0.0, out=spectra)


def gaussian_spectrum(rows: int, cols: int, stream: np.random.Generator) -> Float[Tensor, " b"]:
    """Eigenvalues of WᵀW for a rows × cols matrix of independent standard normals, ascending.

    Drawn from their exact joint law without the matrix: those of BBᵀ for a bidiagonal B of independent
    χ variables, with 2b random numbers and O(b²) operations.

    Args:
        rows: of W; may be exchanged with cols.
        cols: of W.
        stream: that the random numbers are drawn from.

    Source: Dumitriu & Edelman (2002), Matrix models for beta ensembles, β = 1.

    >>> gaussian_spectrum(30, 20, np.random.default_rng(0)).shape
    torch.Size([20])
    """
    b, longer = min(rows, cols), max(rows, cols)
    on, off = _tridiagonals(longer, b, (), stream)
    values = eigvalsh_tridiagonal(on, off, lapack_driver="sterf", check_finite=False) if b > 1 else on
    return torch.from_numpy(values).clamp_min_(0.0)


def _spectra_of_balanced(longer: int, b: int, count: int, stream: np.random.Generator) -> NDArray[np.float64]:
    """The spectra of Gaussian matrices whose rows and columns are scaled to one mean square, one a row."""
    spectra = []
    for size in _counts(count, max(_BATCH // (longer * b), 1)):
        matrices = stream.standard_normal((size, b, longer))
        squares, columns = matrices**2, np.ones((size, longer, 1))
        for _ in range(_BALANCING):
            rows = longer / (squares @ columns)
            columns = b / (squares.transpose(0, 2, 1) @ rows)
        matrices *= np.sqrt(rows) * np.sqrt(columns).transpose(0, 2, 1)
        spectra.append(np.linalg.eigvalsh(matrices @ matrices.transpose(0, 2, 1)))
    return np.maximum(np.concatenate(spectra), 0.0)


def _spectra_of_long_balanced(longer: int, b: int, count: int, stream: np.random.Generator) -> NDArray[np.float64]:
    """The same of matrices with hundreds of columns for each row.

    Their columns are independent vectors of one norm, in random directions, so that Σ xxᵀ is a sum of very many
    independent terms: once it has ones on its diagonal, it is the correlation matrix of Gaussian columns. There are
    (b + 2)/b times as many of those, as E[(xᵢxⱼ)²] = b/(b + 2) of a vector of norm √b says. That matrix is drawn by
    its Cholesky factor (Bartlett 1933).
    """
    factors = np.tril(stream.standard_normal((count, b, b)), -1)
    diagonal = np.arange(b)
    factors[:, diagonal, diagonal] = np.sqrt(stream.chisquare(longer * (b + 2) / b - diagonal, (count, b)))
    factors /= np.linalg.norm(factors, axis=2, keepdims=True)
    spectra = np.empty((count, b))
    spectra[:] = np.linalg.eigvalsh(factors @ factors.transpose(0, 2, 1))
    return np.maximum(longer * spectra, 0.0)


def _counts(total: int, most: int) -> list[int]:
    return [min(most, total - start) for start in range(0, total, most)]


def _tridiagonals(
    longer: int, b: int, many: tuple[int, ...], stream: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """BBᵀ of the bidiagonal B of `gaussian_spectrum`, one or many: on the diagonal, and beside it."""
    diagonal = stream.chisquare(np.arange(longer, longer - b, -1), (*many, b))
    below = stream.chisquare(np.arange(b - 1, 0, -1), (*many, b - 1))
    on = diagonal.copy()
    on[..., 1:] += below
    return on, np.sqrt(diagonal[..., :-1] * below)
