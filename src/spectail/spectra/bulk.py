"""The Marchenko–Pastur law: the spectrum of a matrix of independent entries, and its fit.

Not here: what lies outside the bulk, which is in `spikes`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor

from spectail.errors import SpectailError
from spectail.spectra.precision import check_spectrum, takes_arrays, takes_spectrum


@dataclass(frozen=True)
class MarchenkoPastur:
    """Limit law of the eigenvalues of WᵀW, for W (rows × cols) with independent entries of one variance.

    The law is that of the b = min(rows, cols) eigenvalues that can differ from zero, and has mass one;
    the cols × cols matrix WᵀW has a further `mass_at_zero` of exact zeros where rows < cols.
    WᵀW and WWᵀ share it, so rows and cols may be exchanged.

    Attributes:
        rows, cols: the shape of W; they need not be whole where the law is fitted to several matrices.
        variance: of one entry of W, squared units of the weights.

    Source: Marchenko & Pastur (1967); paper §4 (the untrained ESD).

    >>> law = MarchenkoPastur(1500, 1000)
    >>> [round(edge, 1) for edge in law.edges]
    [50.5, 4949.5]
    """

    rows: float
    cols: float
    variance: float = 1.0

    def __post_init__(self) -> None:
        if self.rows < 1 or self.cols < 1:
            raise SpectailError(f"a matrix has at least one row and column, got {self.rows}×{self.cols}")
        if self.variance < 0:  # NaN where nothing is known of it
            raise SpectailError(f"variance={self.variance:g} of entries; expected 0 or more")

    @property
    def edges(self) -> tuple[float, float]:
        """λ∓ = v (√rows ∓ √cols)², the ends of the bulk."""
        p, b = math.sqrt(self.rows), math.sqrt(self.cols)
        return self.variance * (p - b) ** 2, self.variance * (p + b) ** 2

    @property
    def edge_fluctuation(self) -> float:
        """The Tracy–Widom scale: the size of the fluctuations of the largest eigenvalue.

        v (√h + √d)(h^{-1/2} + d^{-1/2})^{1/3}. Source: Johnstone (2001).
        """
        p, b = math.sqrt(self.rows), math.sqrt(self.cols)
        return self.variance * (p + b) * math.cbrt(1 / p + 1 / b)

    @property
    def mass_at_zero(self) -> float:
        """Share of the cols eigenvalues of WᵀW that are zero because rows < cols."""
        return max(0.0, 1.0 - self.rows / self.cols)

    @takes_arrays
    def density(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """ρ(λ) = √((λ₊−λ)(λ−λ₋)) / (2π b v λ) inside the bulk, 0 outside, per unit of λ."""
        low, high = self.edges
        x = x.to(torch.float64)
        inside = (x > low) & (x < high)
        safe = torch.where(inside, x, torch.full_like(x, 0.5 * (low + high)))
        rho = ((high - safe) * (safe - low)).sqrt() / (2 * math.pi * self._b * self.variance * safe)
        return torch.where(inside, rho, torch.zeros_like(rho))

    @takes_arrays
    def cdf(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Share of the b eigenvalues that are at most x, in closed form."""
        low, high = self.edges
        centre, radius = 0.5 * (high + low), 0.5 * (high - low)
        cosine = ((centre - x.to(torch.float64)) / radius).clamp(-1.0, 1.0)
        return self._cdf_of_angle(cosine.acos())

    @takes_arrays
    def quantile(self, q: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """The λ below which a share q of the eigenvalues lies, by bisection on the closed-form CDF."""
        low, high = self.edges
        q = q.to(torch.float64)
        left, right = torch.zeros_like(q), torch.full_like(q, math.pi)
        for _ in range(60):  # halves an interval of π to 3e-18
            middle = 0.5 * (left + right)
            above = self._cdf_of_angle(middle) > q
            right, left = torch.where(above, middle, right), torch.where(above, left, middle)
        return 0.5 * (high + low) - 0.5 * (high - low) * (0.5 * (left + right)).cos()

    def median(self) -> float:
        """The λ below which half of the eigenvalues lie."""
        return float(self.quantile(torch.tensor(0.5)))

    def hill(self) -> float:
        """PL_Alpha_Hill of the law itself: what the Hill estimator says of an untrained matrix.

        α = 1 + 1 / E[log(λ / median) | λ ≥ median], by quadrature. 2.449 for 1500 × 1000, which
        lies inside the range (2, 2.5) that the paper calls heavy-tailed and good.
        """
        return _marchenko_pastur_hill(max(self.rows, self.cols), self._b)

    @takes_arrays
    def distance(self, spectrum: Float[Tensor, " b"]) -> float:
        """Kolmogorov–Smirnov distance between a spectrum and the law: 0 alike, 1 disjoint.

        Raises:
            SpectailError: there is no eigenvalue, or they are not in one dimension.
        """
        check_spectrum(spectrum)
        ordered = spectrum.detach().to("cpu", torch.float64).sort().values
        law = self.cdf(ordered)
        steps = torch.arange(len(ordered) + 1, dtype=torch.float64) / len(ordered)
        return float(torch.maximum((law - steps[:-1]).abs(), (steps[1:] - law).abs()).max())

    @property
    def _b(self) -> float:
        return min(self.rows, self.cols)

    def _cdf_of_angle(self, theta: Tensor) -> Tensor:
        """∫ ρ from λ₋ to λ = m − R cos θ.

        With that substitution the integrand is m + R cos θ − λ₊λ₋/(m − R cos θ), over 2π b v, and the
        last term integrates to 2√(λ₊λ₋) arctan(√(λ₊/λ₋) tan θ/2).
        """
        low, high = self.edges
        centre, radius, mean = 0.5 * (high + low), 0.5 * (high - low), math.sqrt(high * low)
        angle = torch.atan2(math.sqrt(high) * (0.5 * theta).sin(), math.sqrt(low) * (0.5 * theta).cos())
        area = centre * theta + radius * theta.sin() - 2 * mean * angle
        return (area / (2 * math.pi * self._b * self.variance)).clamp(0.0, 1.0)


@takes_spectrum
def fit_marchenko_pastur(spectrum: Float[Tensor, " b"], rows: float, cols: float) -> MarchenkoPastur:
    """The law whose median is that of the spectrum.

    The median moves by no more than the share of the eigenvalues that left the bulk, so a handful of
    spikes, however large, does not widen the fitted bulk; a fit of the mean (the variance of the
    entries) would be inflated without bound.

    Args:
        spectrum: the min(rows, cols) eigenvalues of WᵀW, any order.
        rows: of W.
        cols: of W.

    Returns:
        a law with `variance` fitted; 0 where more than half of the spectrum is zero, and NaN where it
        holds a NaN.

    Raises:
        SpectailError: there is no eigenvalue, they are not in one dimension, or rows or cols is below 1.

    >>> spectrum = MarchenkoPastur(300, 200, 0.25).quantile(torch.linspace(0.0, 1.0, 201))
    >>> round(fit_marchenko_pastur(spectrum, 300, 200).variance, 6)
    0.25
    """
    values = spectrum.detach().to("cpu", torch.float64).sort().values
    if values.isnan().any():
        return MarchenkoPastur(rows, cols, math.nan)
    k = len(values)
    median = float(values[(k - 1) // 2] + values[k // 2]) / 2
    return MarchenkoPastur(rows, cols, median / _unit_median(max(rows, cols), min(rows, cols)))


@lru_cache(maxsize=256)
def _unit_median(p: float, b: float) -> float:
    return MarchenkoPastur(p, b).median()


@lru_cache(maxsize=256)
def _marchenko_pastur_hill(p: float, b: float) -> float:
    law = MarchenkoPastur(p, b)
    median = _unit_median(p, b)
    low, high = law.edges
    centre, radius = 0.5 * (high + low), 0.5 * (high - low)
    start = math.acos(max(-1.0, min(1.0, (centre - median) / radius)))
    # the integrand is analytic in θ on [θ_median, π]: 2000 midpoints give 1e-7
    theta = start + (math.pi - start) * (torch.arange(2000, dtype=torch.float64) + 0.5) / 2000
    x = centre - radius * theta.cos()
    weight = law.density(x) * radius * theta.sin()
    return 1.0 + float(weight.sum() / (weight * (x / median).log()).sum())
