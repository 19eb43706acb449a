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
from scipy.stats import gamma, norm, skew
from torch import Tensor

from spectail.errors import SpectailError
from spectail.spectra.bulk import fit_marchenko_pastur
from spectail.spectra.norms import effective_rank, stable_rank
from spectail.spectra.tails import hill, ks_fit

MOST_DRAWS = 200

FEWEST_DRAWS = 16

_WORK = 1.6e8  # of all draws together, in slices · b²: about three seconds

_VALUES = 1.5e6  # of all draws together, eigenvalues that are pooled from small slices: about three seconds of KS fits

# Past so many slices, up to such a shorter side, all are drawn and solved at once; a call for each would take minutes.
_MANY, _SMALL = 64, 32

_BATCH = 2**18  # numbers of their tridiagonal matrices in memory at a time


@dataclass(frozen=True)
class ExponentNull:
    """How an exponent α spreads over Gaussian matrices of one shape.

    Of log(α − 1), which is close to normal: α − 1 is a reciprocal of a mean, and in the KS fit skewed.

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
            deviation = float(norm.isf(share))
        else:
            shape = 4.0 / skewness**2
            tail = gamma.isf(share, shape) if self.skewness > 0 else -gamma.isf(1.0 - share, shape)
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
        ks: exponent of `ks_fit`.
        edge: (λ_max − λ₊) over the Tracy–Widom scale: how far the largest eigenvalue lies past the edge.
        distance: Kolmogorov–Smirnov distance of the spectrum to the law.
        effective_rank: `effective_rank` over the number of eigenvalues.
        stable_rank: `stable_rank` over the number of eigenvalues.

    >>> nulls = simulate_nulls(30, 20, draws=20)
    >>> abs(nulls.hill.z(nulls.hill.alpha)) < 1e-9
    True
    """

    hill: ExponentNull
    ks: ExponentNull
    edge: StatisticNull
    distance: StatisticNull
    effective_rank: StatisticNull
    stable_rank: StatisticNull


def simulate_nulls(
    rows: int, cols: int, slices: int = 1, *, normalised: bool = False, draws: int | None = None, seed: int = 0
) -> Nulls:
    """Every statistic on Gaussian matrices of a shape, pooled where there are several slices.

    No statistic depends on the variance, so one simulation serves every matrix of the shape.

    Args:
        rows: of one matrix.
        cols: of one matrix.
        slices: how many matrices are pooled into one spectrum.
        normalised: whether the eigenvalues of each slice are divided by their mean before they are pooled.
        draws: how many spectra to draw; by default 200, fewer where that would take more than a few
            seconds, but at least 16.
        seed: with the shape, it fixes the draws. The global random state is neither read nor moved.

    Raises:
        SpectailError: the spectra have fewer than three eigenvalues, whose exponents do not spread.

    >>> 2.0 < simulate_nulls(30, 20, draws=20).hill.alpha < 3.0
    True
    """
    b, longer = min(rows, cols), max(rows, cols)
    if b < 1 or slices * b < 3:
        raise SpectailError(f"a null needs three eigenvalues, got {slices} × {b}")
    if draws is None:
        most = _VALUES / (slices * b) if drawn_together(b, slices) else MOST_DRAWS
        draws = int(min(max(min(_WORK / (slices * b**2), most), FEWEST_DRAWS), MOST_DRAWS))
    stream = np.random.default_rng([seed, longer, b, slices])
    hills, ks, others = [], [], []
    for _ in range(draws):
        if drawn_together(b, slices):
            spectra = _spectra_of_small(longer, b, slices, stream)
        else:
            spectra = torch.stack([gaussian_spectrum(longer, b, stream) for _ in range(slices)])
        if normalised:
            spectra = spectra / spectra.mean(1, keepdim=True)
        spectrum = spectra.flatten().sort().values
        hills.append(hill(spectrum))
        ks.append(ks_fit(spectrum).alpha)
        others.append(_statistics(spectrum, longer, b))
    edge, *positive = (np.array(values) for values in zip(*others, strict=True))
    return Nulls(_null(hills), _null(ks), _statistic(edge), *(_statistic(values, of_log=True) for values in positive))


def _statistics(spectrum: Tensor, rows: int, cols: int) -> tuple[float, float, float, float]:
    """What `Nulls` holds of a sorted spectrum, but for the exponents."""
    law = fit_marchenko_pastur(spectrum, rows, cols)
    past = (float(spectrum[-1]) - law.edges[1]) / law.edge_fluctuation
    ranks = (effective_rank(spectrum) / len(spectrum), float(stable_rank(spectrum)) / len(spectrum))
    return past, law.distance(spectrum), *ranks


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


def drawn_together(shorter: int, slices: int) -> bool:
    """Whether the slices of a spectrum are drawn at once: from the same law, but with other random numbers.

    Args:
        shorter: side of each.
        slices: how many.

    >>> drawn_together(7, 768), drawn_together(7, 1), drawn_together(512, 9)
    (True, False, False)
    """
    return slices > _MANY and shorter <= _SMALL


def _spectra_of_small(longer: int, b: int, slices: int, stream: np.random.Generator) -> Float[Tensor, "slices b"]:
    """The eigenvalues of several small Gaussian matrices, in few calls."""
    spectra = []
    for count in _counts(slices, max(_BATCH // b**2, 1)):
        on, off = _tridiagonals(longer, b, (count,), stream)
        matrices, index = np.zeros((count, b, b)), np.arange(b)
        matrices[:, index, index] = on
        matrices[:, index[1:], index[:-1]] = off
        spectra.append(np.linalg.eigvalsh(matrices) if b > 1 else on)  # it reads the lower half
    return torch.from_numpy(np.concatenate(spectra)).clamp_min_(0.0)


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


def _null(alphas: list[float]) -> ExponentNull:
    logs = np.log(np.asarray(alphas) - 1.0)
    logs = logs[np.isfinite(logs)]
    return ExponentNull(float(logs.mean()), float(logs.std(ddof=1)), len(logs))


def _statistic(values: NDArray[np.float64], *, of_log: bool = False) -> StatisticNull:
    values = np.log(values) if of_log else values
    return StatisticNull(float(values.mean()), float(values.std(ddof=1)), float(skew(values)), len(values), of_log)
