"""The spectrum of a fixed matrix plus Gaussian noise, W = M + X, and how its singular vectors overlap with M's.

M has singular values s_i, X (h × d) independent entries of variance v, and h and d go to infinity at a fixed ratio.
With b = min(h, d), B = max(h, d) and S(w) = Σ 1/(s_i² − w), each z has a w in the upper half plane with

    z = w (1 − vS)² + v (B − b)(1 − vS),

and the resolvent of WᵀW at z follows from that of M at w: direction i has 1/((1 − vS)(s_i² − w)) on W's short side and
w(1 − vS)/(z(s_i² − w)) on its long one. The imaginary part over π is how much of that direction lies where WᵀW has the
eigenvalue z. Where all s_i are one c, z is a rational function of w of degree three, and the density the root of a
cubic.

Not here: a single spike, which has formulas (`spikes`), and the law of X alone (`bulk`).

Source: Dozier & Silverstein (2007), J. Multivariate Anal. 98; of the overlaps, Landau, Mel & Ganguli (2023),
2306.00340.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spectail.errors import SpectailError
from spectail.spectra.precision import as_tensor, float64

_Values = NDArray[np.float64]
_Complex = NDArray[np.complex128]

_POINTS = 1500  # singular values at which the law is known
_CLOSE = 1e-7  # to the real axis, relative to the largest eigenvalue
_DESCENT = 36  # heights on the way there
_PART = 200_000  # numbers of a block of (points × singular values)


@dataclass(frozen=True)
class SumLaw:
    """The law of the eigenvalues of WᵀW, W = M + X, and of the overlaps with M's singular vectors.

    Attributes:
        strengths: s_i², of M, descending (b).
        rows: of W.
        cols: of W.
        variance: v, of an entry of X.
        points: eigenvalues λ of WᵀW, ascending, at which the law is known.
        density: of eigenvalues at each point, per unit of λ.
        cumulative: the share of eigenvalues up to each point.
        shifted: the w of each point.
    """

    strengths: _Values
    rows: int
    cols: int
    variance: float
    points: _Values
    density: _Values
    cumulative: _Values
    shifted: _Complex

    def cdf(self, values: ArrayLike) -> _Values:
        """The share of eigenvalues up to some values."""
        return np.asarray(np.interp(np.asarray(values, dtype=np.float64), self.points, self.cumulative, 0.0, 1.0))

    def distance(self, eigenvalues: ArrayLike) -> float:
        """The Kolmogorov–Smirnov distance of eigenvalues."""
        values = np.sort(np.asarray(eigenvalues, dtype=np.float64))
        cdf, count = self.cdf(values), len(values)
        return float(max(np.max(np.arange(1, count + 1) / count - cdf), np.max(cdf - np.arange(count) / count)))

    def overlaps(self, side: Literal["left", "right"], of_w: ArrayLike, of_m: ArrayLike) -> _Values:
        """The mean squared overlap of directions of W with directions of M, in blocks of ranks, strongest first.

        Args:
            side: left singular vectors (h), or right ones (d).
            of_w: bounds of blocks of ranks of W, from 0 to b, ascending.
            of_m: those of M.

        Returns:
            (blocks of W × blocks of M).

        Raises:
            SpectailError: bounds are not ascending from 0 to at most b.

        >>> law = sum_law([30.0, 0, 0, 0], 50, 40)
        >>> bool(law.overlaps("right", [0, 1, 4], [0, 1, 4])[0, 0] > 0.8)
        True
        """
        b = len(self.strengths)
        rows, columns = (np.asarray(bounds, dtype=np.int64) for bounds in (of_w, of_m))
        for bounds in (rows, columns):
            if len(bounds) < 2 or bounds[0] != 0 or bounds[-1] > b or np.any(np.diff(bounds) <= 0):
                raise SpectailError(f"ranks {bounds.tolist()} do not ascend from 0 to at most {b}")
        steep = 1 - self.variance * _sums(self.shifted, self.strengths)[0]
        short = (side == "right") == (self.rows >= self.cols)
        factor = 1 / steep if short else self.shifted * steep / self.points
        masses = np.empty((len(rows) - 1, len(columns) - 1))
        at = np.interp(1 - rows / b, self.cumulative, np.sqrt(self.points))
        for column, (first, last) in enumerate(pairwise(columns)):
            parts = (factor[:, None] / (self.strengths[None, first:last] - self.shifted[:, None])).imag.sum(1) / np.pi
            whole = _integral(np.sqrt(self.points), parts * 2 * np.sqrt(self.points))
            masses[:, column] = -np.diff(np.interp(at, np.sqrt(self.points), whole))
        blocks: _Values = masses / np.outer(np.diff(rows), np.diff(columns))
        return blocks


def sum_law(singular_values: ArrayLike, rows: int, cols: int, variance: float = 1.0) -> SumLaw:
    """The law of W = M + X.

    Args:
        singular_values: of M, any order, min(rows, cols) of them or fewer, the others being 0.
        rows: h.
        cols: d.
        variance: v, of an entry of X.

    Raises:
        SpectailError: sizes or the variance are not positive, or there are too many singular values, or bad ones.

    >>> law = sum_law([], 1500, 1000)
    >>> round(float(law.cdf(1000.0)), 2)  # of the Marchenko–Pastur law
    0.45
    """
    s = float64(as_tensor(singular_values)).cpu().numpy().ravel()
    if rows < 1 or cols < 1 or not 0 < variance < np.inf:
        raise SpectailError(f"a sum needs positive sizes and a positive variance, not {rows} × {cols}, {variance}")
    b, long = min(rows, cols), max(rows, cols)
    if len(s) > b or not np.isfinite(s).all() or (s < 0).any():
        raise SpectailError(f"M ({rows} × {cols}) has {b} singular values, finite and none below 0; got {len(s)}")
    strengths = np.sort(np.concatenate([np.square(s), np.zeros(b - len(s))]))[::-1]
    reach = np.sqrt(strengths[0]) + np.sqrt(variance) * (np.sqrt(rows) + np.sqrt(cols))  # no singular value is larger
    sigma = reach * (np.arange(_POINTS) + 0.5) / _POINTS
    points = np.square(sigma)
    shifted = _shifted(points, strengths, variance, long)
    of_sum = _sums(shifted, strengths)[0]
    density = np.clip((of_sum / (1 - variance * of_sum)).imag / (np.pi * b), 0, None)
    cumulative = _integral(sigma, density * 2 * sigma)
    return SumLaw(strengths, rows, cols, variance, points, density, cumulative / cumulative[-1], shifted)


def _integral(x: _Values, values: _Values) -> _Values:
    """The integral of the values from 0 to each x, by trapezia; below the first x they count as constant."""
    steps = np.diff(x) * (values[1:] + values[:-1]) / 2
    cumulated: _Values = np.concatenate([[0.0], np.cumsum(steps)]) + values[0] * x[0]
    return cumulated


def _sums(w: _Complex, strengths: _Values) -> tuple[_Complex, _Complex]:
    """S(w) and S'(w)."""
    values, counts = np.unique(strengths, return_counts=True)
    parts = [_sums_of(part, values, counts) for part in np.array_split(w, max(1, w.size * values.size // _PART))]
    of_sum, slope = (np.concatenate(one) for one in zip(*parts, strict=True))
    return of_sum, slope


def _sums_of(w: _Complex, values: _Values, counts: NDArray[np.int64]) -> tuple[_Complex, _Complex]:
    inverse = 1 / (values[None] - w[:, None])
    of_sum: _Complex = inverse @ counts
    slope: _Complex = inverse**2 @ counts
    return of_sum, slope


def _shifted(points: _Values, strengths: _Values, v: float, long: int) -> _Complex:
    """The w of each z just above the real axis: found far above it, and followed down by Newton's method."""
    b, scale = len(strengths), float(points[-1])
    heights = scale * np.geomspace(4, _CLOSE, _DESCENT)
    w: _Complex = points + 1j * heights[0] - v * (long + b)
    for height in heights:
        z = points + 1j * height
        for _ in range(12 if height == heights[0] else 6):
            of_sum, slope = _sums(w, strengths)
            steep = 1 - v * of_sum
            wrong = w * steep**2 + v * (long - b) * steep - z
            rise = steep**2 - 2 * v * w * slope * steep - v**2 * (long - b) * slope
            step = wrong / rise
            step *= np.minimum(1, 0.5 * w.imag / np.maximum(np.abs(step), 1e-300))  # never out of the half plane
            w = w - step
            if np.max(np.abs(step) / np.abs(w)) < _CLOSE**2:
                break
    return w
