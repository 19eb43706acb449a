"""What WeightWatcher reads off one spectrum or one vector, by its definitions.

Here: what no other file of this room computes. Not here: its table (`analysis/weightwatcher.py`), and what it shares
with us: the power-law fit (`tails`), its truncation (`truncated_power_law`), stable rank (`norms`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from spectail.spectra.precision import ZERO_SHARE
from spectail.spectra.tails import PowerLawFit, ks_fit

_Array = NDArray[np.float64]


def matrix_rank(spectrum: _Array) -> int:
    """How many eigenvalues are more than rounding: above `ZERO_SHARE` of the largest.

    Args:
        spectrum: eigenvalues of WᵀW.

    >>> matrix_rank(np.array([0.0, 1e-18, 1.0, 4.0]))
    2
    """
    return int((spectrum > ZERO_SHARE * spectrum.max()).sum())


def matrix_entropy(spectrum: _Array) -> float:
    """The entropy of the eigenvalues' shares of their sum, over its greatest value at the rank: between 0 and 1.

    Args:
        spectrum: eigenvalues of WᵀW.

    Returns:
        0 where the rank is one; NaN for a matrix of zeros.

    >>> matrix_entropy(np.array([0.0, 2.0, 2.0]))
    1.0
    """
    if spectrum.max() <= 0:
        return math.nan
    shares = spectrum[spectrum > 0] / spectrum.sum()
    rank = matrix_rank(spectrum)
    return float(-(shares * np.log(shares)).sum() / math.log(rank)) if rank > 1 else 0.0


def log10_power_sum(spectrum: _Array, exponent: float) -> float:
    """log₁₀ Σ λ^exponent, which no exponent overflows.

    >>> round(log10_power_sum(np.array([10.0, 10.0]), 1000.0), 9)
    1000.301029996
    """
    with np.errstate(divide="ignore"):
        powers = exponent * np.log(spectrum)
    largest = powers.max()
    return float((largest + np.log(np.exp(powers - largest).sum())) / math.log(10.0))


def unit_product_tail(spectrum: _Array) -> int:
    """How many of the largest eigenvalues have a product of one: the condition det X = 1 on the tail.

    With eigenvalues scaled to mean one, the fewest largest ones whose product is below one.

    Args:
        spectrum: eigenvalues, ascending.

    Returns:
        their number; all of them where their product is never below one; 0 where all are equal.

    >>> unit_product_tail(np.array([0.1, 0.1, 0.5, 1.0, 2.0, 2.3]))
    5
    """
    if not spectrum[0] < spectrum[-1]:
        return 0
    with np.errstate(divide="ignore"):
        logs = np.log(spectrum[::-1] / spectrum.mean())
    below = np.flatnonzero(np.cumsum(logs) < 0)
    return int(below[0]) + 1 if len(below) else len(spectrum)


def share_distance(one: _Array, other: _Array) -> float:
    """Jensen–Shannon distance between two spectra of one length, each eigenvalue a share of its sum, rank by rank.

    Args:
        one: eigenvalues, ascending.
        other: as many.

    Returns:
        the root of the divergence in nats: 0 alike, at most √log 2.

    >>> share_distance(np.array([1.0, 3.0]), np.array([10.0, 30.0]))
    0.0
    """
    p, q = one / one.sum(), other / other.sum()
    middle = 0.5 * (p + q)
    with np.errstate(divide="ignore", invalid="ignore"):
        divergence = sum(np.where(r > 0, r * np.log(r / middle), 0.0).sum() for r in (p, q)) / 2
    return math.sqrt(max(float(divergence), 0.0))


def clipped_fit(spectrum: _Array, whole: PowerLawFit, most: int, drop: float) -> tuple[PowerLawFit, int]:
    """The KS fit without the largest eigenvalues, the fingers: as few as lower its exponent by more than `drop`.

    Args:
        spectrum: eigenvalues, ascending.
        whole: the KS fit of all of them.
        most: how many may be left out.
        drop: of α, from that of the whole spectrum.

    Returns:
        the fit, and how many were left out; that of the whole spectrum and 0 where no number of them is enough.

    >>> population = np.geomspace(1.0, 1e6, 200) ** 0.5
    >>> clipped_fit(population, ks_fit(population), most=10, drop=1.0)[1]
    0
    """
    for clipped in range(1, min(most, len(spectrum) - 2) + 1):
        fit = ks_fit(spectrum[:-clipped])
        if fit.alpha + drop < whole.alpha:
            return fit, clipped
        if fit.alpha <= _LOWEST_ALPHA:
            break
    return whole, 0


_LOWEST_ALPHA = 2.0  # with an exponent as low as this the tail needs no clipping


def peak_of_logs(spectrum: _Array) -> float:
    """Where the fullest of 100 bins of log λ begins, in units of λ.

    >>> peak_of_logs(np.array([1.0, 10.0, 10.0, 100.0]))
    10.0
    """
    counts, start, width = _bins(np.log10(spectrum))
    return float(10.0 ** (start + width * int(np.argmax(counts))))


def _bins(values: _Array) -> tuple[NDArray[np.int64], float, float]:
    """How many values are in each of 100 bins, where the first begins, how wide they are; one bin for equal values."""
    low, high = float(values.min()), float(values.max())
    if high - low <= 1e-9 * max(abs(low), abs(high)):
        return np.array([len(values)]), low, 0.0
    counts, _ = np.histogram(values, bins=100)
    return counts, low, (high - low) / 100


def ks_fit_within(spectrum: _Array, low: float, high: float) -> PowerLawFit:
    """`ks_fit`, with tails that start between two values only.

    Args:
        spectrum: positive eigenvalues, ascending.
        low: where a tail may start.
        high: where it may start at most.

    >>> ks_fit_within(np.geomspace(1.0, 100.0, 50), 5.0, 20.0).xmin > 5.0
    True
    """
    logs = np.log(spectrum)
    best: tuple[float, int, float] | None = None
    for start in np.flatnonzero((spectrum[:-1] >= low) & (spectrum[:-1] <= high)).tolist():
        u = logs[start:] - logs[start]
        if (excess := float(u.sum())) <= 1e-12 * len(u):
            continue
        alpha = 1.0 + len(u) / excess
        distance = float(np.abs(-np.expm1((1.0 - alpha) * u) - np.arange(len(u)) / len(u)).max())
        if best is None or distance < best[0]:
            best = distance, start, alpha
    if best is None:
        return PowerLawFit.impossible(f"no tail starts between {low:.3g} and {high:.3g}")
    distance, start, alpha = best
    size = len(spectrum) - start
    return PowerLawFit(alpha, float(spectrum[start]), size, distance)


@dataclass(frozen=True)
class DensityFit:
    """A Marchenko–Pastur law fitted to the density of a spectrum.

    Attributes:
        sigma: root of the mean of the law, where the mean of the spectrum is one.
        edges: the ends of the bulk, units of the eigenvalues.
        spikes: how many eigenvalues lie past the upper end by WeightWatcher's margin.
        soft_rank: the upper edge over the largest eigenvalue.
    """

    sigma: float
    edges: tuple[float, float]
    spikes: int
    soft_rank: float


_BANDWIDTH = 0.1
_SPARSE = 0.01  # a density below which points of the grid are left out
_FAR = 1000.0  # the residual of a law whose bulk cannot be that of the spectrum


def density_fit(spectrum: _Array, longer: int, shorter: int) -> DensityFit:
    """The Marchenko–Pastur law that is closest, in least squares, to a density estimate of the spectrum.

    Eigenvalues are scaled to mean one, smoothed with a triangle of half-width 0.1, and compared on 1,000 points; for a
    square matrix it is singular values and the quarter-circle law. The margin of a spike is the root of
    λ₊^(2/3) / (M^(2/3) √Q), which is many Tracy–Widom scales.

    Args:
        spectrum: eigenvalues, ascending; those of several slices pooled.
        longer: N, the longer side of W.
        shorter: M.

    >>> density_fit(np.linspace(0.2, 2.2, 400), 600, 300).spikes
    0
    """
    ratio = longer / shorter
    scale = float(spectrum.mean())
    scaled = spectrum / scale
    points = np.sqrt(scaled) if longer == shorter else scaled
    grid = np.linspace(0.0, points.max() + 0.5, 1000)
    density = _triangles(points, grid)
    dense = density > _SPARSE
    x, y = grid[dense], density[dense]
    mode = float(x[int(np.argmax(y))])

    def misfit(parameter: _Array) -> float:
        sigma = float(np.atleast_1d(parameter)[0])
        if longer == shorter:
            law = np.sqrt(np.maximum(4.0 * sigma**2 - x**2, 0.0)) / (math.pi * sigma**2)
        else:
            low, high = _edges(sigma, ratio)
            if not low <= mode <= high <= x.max():
                return _FAR**2 * len(x)
            root = np.sqrt(np.maximum((high - x) * (x - low), 0.0))
            law = ratio * root / (2.0 * math.pi * sigma**2 * np.maximum(x, low))
        return float(np.square(law - y).sum())

    start = math.sqrt(scaled.max()) / (1.0 + ratio**-0.5)
    from scipy.optimize import brute  # 0.1 s to import, for what is asked on request

    sigma = float(np.atleast_1d(brute(misfit, (slice(0.05 * start, 2.0 * start, 0.01 * start),)))[0])
    low, high = _edges(sigma, ratio)
    margin = math.sqrt(high ** (2 / 3) * shorter ** (-2 / 3) / math.sqrt(ratio))
    return DensityFit(
        sigma, (low * scale, high * scale), int((scaled > high + margin).sum()), high / float(scaled.max())
    )


def _edges(sigma: float, ratio: float) -> tuple[float, float]:
    return (sigma * (1.0 - ratio**-0.5)) ** 2, (sigma * (1.0 + ratio**-0.5)) ** 2


def _triangles(points: _Array, grid: _Array) -> _Array:
    """The mean of triangles of area one about each point, exactly: by sums over the sorted points on either side."""
    ordered = np.sort(points)
    sums = np.append(0.0, np.cumsum(ordered))

    left, middle, right = (np.searchsorted(ordered, grid + d) for d in (-_BANDWIDTH, 0.0, _BANDWIDTH))
    distances = grid * (2 * middle - left - right) - (2 * sums[middle] - sums[left] - sums[right])
    heights = (right - left) * _BANDWIDTH - distances
    return cast(_Array, heights / (len(points) * _BANDWIDTH**2))


def vector_quantities(vectors: _Array) -> dict[str, _Array]:
    """How far each of several unit vectors, one a column, is spread over its entries.

    Args:
        vectors: one a column.

    Returns:
        `part_ratio` ‖v‖₂/‖v‖₄, of which the fourth power is the participation ratio; `loc_ratio` ‖v‖₁/‖v‖_∞; and
        `vec_entropy`, the entropy in nats of a histogram of |v| of 100 bins.

    >>> one = vector_quantities(np.array([[1.0], [0.0], [0.0], [0.0]]))
    >>> one["part_ratio"].tolist(), one["loc_ratio"].tolist()
    ([1.0], [1.0])
    """
    size = np.abs(vectors)
    return {
        "part_ratio": np.sqrt((size**2).sum(0)) / (size**4).sum(0) ** 0.25,
        "loc_ratio": size.sum(0) / size.max(0),
        "vec_entropy": np.array([_histogram_entropy(column) for column in size.T]),
    }


def _histogram_entropy(values: _Array) -> float:
    counts, _, _ = _bins(values)
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())
