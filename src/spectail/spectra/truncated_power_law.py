"""Power laws that an exponential cuts off, fitted to the tail of a spectrum.

Not here: plain power laws (`tails`), and which of several laws a tail follows (`tail_tests`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from spectail.notebooks import Answered
from spectail.spectra.precision import ZERO_SHARE, float64, takes_spectrum

_Array = NDArray[np.float64]

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(100)
_STEP_NODES, _STEP_WEIGHTS = np.polynomial.legendre.leggauss(12)
_NEGLIGIBLE = 40.0  # an exponent past which a density is no longer followed


@dataclass(frozen=True, repr=False)
class TruncatedPowerLawFit(Answered):
    """A law p(λ) ∝ λ^(−α) exp(−rate·λ), λ ≥ xmin, fitted to the tail of a spectrum.

    Attributes:
        alpha: the exponent, at least 1; NaN where no fit can be made, and then `note` says why.
        rate: of the exponential, per unit of the eigenvalues; 0 where the plain power law is the likeliest.
        xmin: where the tail starts, units of the eigenvalues.
        tail_size: how many eigenvalues lie in the tail, the one at xmin included.
        ks_distance: Kolmogorov–Smirnov distance between the tail and the fitted law.
        stderr: of α, given xmin, by the information of the likelihood; NaN for α = 1, on the edge.
        note: empty for a fit, else the reason why there is none.

    >>> truncated_power_law_fit([1.0, 2.0]).note
    'a fit of two parameters needs three positive eigenvalues, got 2'
    """

    alpha: float
    rate: float
    xmin: float
    tail_size: int
    ks_distance: float
    stderr: float
    note: str = ""

    def in_words(self) -> str:
        """The exponent, and of which part of the spectrum it is."""
        if math.isnan(self.alpha):
            return f"no exponent, {self.note}"
        return (
            f"α = {self.alpha:.3g} with exp(−{self.rate:.3g} λ) from λ = {self.xmin:.3g} on, "
            f"{self.tail_size} eigenvalues"
        )


@takes_spectrum
def truncated_power_law_fit(
    eigenvalues: Float[Tensor, " k"], *, lowest: float = 0.0, highest: float = math.inf
) -> TruncatedPowerLawFit:
    """The truncated power law whose tail is closest to the data.

    Every eigenvalue in the range is tried as xmin, with the likeliest α ≥ 1 and rate ≥ 0 of the tail that starts
    there; of these, the one with the smallest Kolmogorov–Smirnov distance is returned, as `ks_fit` does it. The
    likelihood is concave, so there is one maximum: found by Newton's method, or on the edge of the range.

    Args:
        eigenvalues: of WᵀW, any order; zeros are never in a tail.
        lowest: where the tail may start, units of the eigenvalues.
        highest: where it may start at most.

    Returns:
        the fit; with α = NaN and a note where no tail of three positive values, not all equal, starts in the range; or
        where an eigenvalue is NaN or inf.

    Raises:
        SpectailError: there is no eigenvalue, or they are not in one dimension.

    Source: Clauset, Shalizi & Newman (2009), with the law of their table 2.1.

    >>> grid = np.linspace(0.0, 6.0, 20001)[1:]
    >>> law = np.exp(-0.5 * grid - 0.3 * np.exp(grid))  # of log λ, α = 1.5, rate 0.3
    >>> evenly = np.interp((np.arange(800) + 0.5) / 800, np.cumsum(law) / law.sum(), grid)
    >>> fit = truncated_power_law_fit(np.exp(evenly), highest=1.01)
    >>> round(fit.alpha, 1), round(fit.rate, 1)
    (1.5, 0.3)
    """
    values = float64(eigenvalues).cpu().numpy()
    if not np.isfinite(values).all():
        return _impossible("an eigenvalue is NaN or inf")
    ordered = np.sort(values[values > values.max() * ZERO_SHARE])
    if len(ordered) < 3:
        return _impossible(f"a fit of two parameters needs three positive eigenvalues, got {len(ordered)}")
    logs = np.log(ordered)
    inside = (ordered >= lowest) & (ordered <= highest)
    starts = np.flatnonzero(inside[:-2] & (logs[-1] - logs[:-2] > 1e-12))
    if len(starts) == 0:
        return _impossible("no tail of three eigenvalues that are not all equal starts where it may")
    counts = len(logs) - starts
    mean_log = _tail_sums(logs - logs[-1])[starts] / counts - (logs[starts] - logs[-1])
    scaled = np.exp(logs - logs[-1])
    mean_excess = _tail_sums(scaled)[starts] / counts / scaled[starts] - 1.0
    alpha, z = _likeliest(mean_log, mean_excess)
    distances = [_distance(logs[i:] - logs[i], a, rate) for i, a, rate in zip(starts, alpha, z, strict=True)]
    best = int(np.argmin(distances))
    start, count = int(starts[best]), int(counts[best])
    return TruncatedPowerLawFit(
        alpha=float(alpha[best]),
        rate=float(z[best] / ordered[start]),
        xmin=float(ordered[start]),
        tail_size=count,
        ks_distance=float(distances[best]),
        stderr=_stderr(float(alpha[best]), float(z[best]), count),
    )


def _impossible(note: str) -> TruncatedPowerLawFit:
    return TruncatedPowerLawFit(math.nan, math.nan, math.nan, 0, math.nan, math.nan, note)


def _tail_sums(values: _Array) -> _Array:
    return np.cumsum(values[::-1])[::-1]


# With u = log(λ/xmin) and t = λ/xmin the law is an exponential family, exp(−α u − z (t − 1)), z = rate · xmin, whose
# statistics are the means of u and of t − 1. Where the likelihood is greatest, the law has the means of the tail.


def _likeliest(mean_log: _Array, mean_excess: _Array) -> tuple[_Array, _Array]:
    """The likeliest α ≥ 1 and z ≥ 0 of tails with these means of u and t − 1."""
    alpha, z = 1.0 + 1.0 / mean_log, np.zeros_like(mean_log)
    plain = (alpha > 2.0) & (mean_excess * (alpha - 2.0) >= 1.0)  # no larger rate is likelier: E[t − 1] = 1/(α − 2)
    rest = np.flatnonzero(~plain)
    if len(rest) == 0:
        return alpha, z
    edge = _rate_at(np.ones(len(rest)), mean_excess[rest])
    at_edge = _moments(np.ones(len(rest)), edge)[0] <= mean_log[rest]  # no larger α is likelier
    alpha[rest], z[rest] = 1.0, edge
    inner = rest[~at_edge]
    if len(inner):
        alpha[inner], z[inner] = _inner_maximum(mean_log[inner], mean_excess[inner], edge[~at_edge])
    return alpha, z


def _rate_at(alpha: _Array, mean_excess: _Array) -> _Array:
    """The z at which the law of given α has this mean of t − 1, by bisection of its logarithm."""
    low, high = np.full_like(alpha, -60.0), np.full_like(alpha, 40.0)
    for _ in range(60):
        middle = 0.5 * (low + high)
        above = _moments(alpha, np.exp(middle))[1] > mean_excess
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    return cast(_Array, np.exp(0.5 * (low + high)))


def _inner_maximum(mean_log: _Array, mean_excess: _Array, edge: _Array) -> tuple[_Array, _Array]:
    """The maximum inside α > 1, z > 0, by Newton steps that stay there; each is halved until it gains."""
    alpha, z = np.full_like(edge, 1.0 + 1e-3), edge.copy()

    def height(a: _Array, b: _Array) -> _Array:
        return -a * mean_log - b * mean_excess - _log_mass(a, b)

    reached = height(alpha, z)
    for _ in range(200):
        u, t, var_u, cov, var_t = _moments(alpha, z)
        slope_a, slope_z = u - mean_log, t - mean_excess
        determinant = var_u * var_t - cov**2
        step_a = (var_t * slope_a - cov * slope_z) / determinant
        step_z = (var_u * slope_z - cov * slope_a) / determinant
        with np.errstate(divide="ignore", invalid="ignore"):
            room = np.minimum(
                np.where(step_a < 0, -0.9 * (alpha - 1.0) / step_a, 1.0), np.where(step_z < 0, -0.9 * z / step_z, 1.0)
            )
        share = np.minimum(1.0, room)
        for _ in range(30):
            new = height(alpha + share * step_a, z + share * step_z)
            worse = ~(new >= reached - 1e-15 * np.abs(reached))
            if not worse.any():
                break
            share = np.where(worse, 0.5 * share, share)
        share = np.where(worse, 0.0, share)
        alpha, z, reached = alpha + share * step_a, z + share * step_z, np.where(worse, reached, new)
        if (np.abs(share * step_a) <= 1e-11 * alpha).all() and (np.abs(share * step_z) <= 1e-11 * z).all():
            break
    return alpha, z


def _integrand(alpha: _Array, z: _Array) -> tuple[_Array, _Array]:
    """Nodes u of each law, and the density there times the weight of the node, without its mass."""
    with np.errstate(divide="ignore"):
        end = np.minimum(_NEGLIGIBLE / (alpha - 1.0), np.log1p(_NEGLIGIBLE / z))
    u = 0.5 * end[:, None] * (1.0 + _NODES)
    log_density = (1.0 - alpha)[:, None] * u - z[:, None] * np.expm1(u)
    return u, np.exp(log_density) * (0.5 * end[:, None] * _WEIGHTS)


def _log_mass(alpha: _Array, z: _Array) -> _Array:
    return cast(_Array, np.log(_integrand(alpha, z)[1].sum(1)))


def _moments(alpha: _Array, z: _Array) -> tuple[_Array, _Array, _Array, _Array, _Array]:
    """Means of u and t − 1, and their variances and covariance between."""
    u, mass = _integrand(alpha, z)
    mass /= mass.sum(1, keepdims=True)
    t = np.expm1(u)
    mean_u, mean_t = (mass * u).sum(1), (mass * t).sum(1)
    off_u, off_t = u - mean_u[:, None], t - mean_t[:, None]
    return mean_u, mean_t, (mass * off_u**2).sum(1), (mass * off_u * off_t).sum(1), (mass * off_t**2).sum(1)


def _distance(u: _Array, alpha: float, z: float) -> float:
    """The largest difference between the law and the share of a tail that lies below each of its values."""
    if z == 0.0:
        law = -np.expm1((1.0 - alpha) * u)
    else:
        beyond = min(_NEGLIGIBLE / max(alpha - 1.0, 1e-300), math.log1p(_NEGLIGIBLE / z * math.exp(-u[-1])))
        ends = np.append(u, u[-1] + beyond)
        pieces = np.maximum(1, np.ceil(np.diff(ends))).astype(int)  # of at most one unit of u
        pieces[-1] += 5
        widths = np.repeat(np.diff(ends) / pieces, pieces)
        places = np.append(0.0, np.cumsum(widths)[:-1])
        nodes = places[:, None] + 0.5 * widths[:, None] * (1.0 + _STEP_NODES)
        mass = 0.5 * widths * (np.exp((1.0 - alpha) * nodes - z * np.expm1(nodes)) @ _STEP_WEIGHTS)
        below = np.append(0.0, np.cumsum(mass))[np.append(0, np.cumsum(pieces))]
        law = below[:-1] / below[-1]
    return float(np.abs(law - np.arange(len(u)) / len(u)).max())


def _stderr(alpha: float, z: float, count: int) -> float:
    if z == 0.0 or alpha == 1.0:
        return (alpha - 1.0) / math.sqrt(count) if z == 0.0 else math.nan
    _, _, var_u, cov, var_t = (float(one[0]) for one in _moments(np.array([alpha]), np.array([z])))
    return math.sqrt(var_t / ((var_u * var_t - cov**2) * count))
