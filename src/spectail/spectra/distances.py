"""How far two spectra lie apart, of one length or not: with their scale, and up to it.

Not here: how singular vectors turn (`overlaps`), and how far a spectrum is from a law (`bulk`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from spectail.spectra.precision import ZERO_SHARE, float64, takes_arrays

_CELLS = 2048  # of the grid on which densities are compared


@dataclass(frozen=True)
class SpectralDistances:
    """How far two spectra lie apart on the axis of log λ. Eigenvalues that are zero are left out.

    Attributes:
        wasserstein: mean distance by which log λ has to be moved, W₁; |log c| between λ and c·λ.
        wasserstein_shape: the least of it over all scales of one of the two: 0 between λ and c·λ.
        jensen_shannon: root of the Jensen–Shannon divergence, in bits, of the two smoothed densities: 0 alike, 1 apart.
        jensen_shannon_shape: the same with one spectrum on the scale that makes `wasserstein_shape` least.
        scale: log of the factor on the first spectrum that makes `wasserstein_shape` least: where all log λ moved
            alike, by how much.

    >>> import torch
    >>> far = spectral_distances(torch.arange(1.0, 9.0), 3 * torch.arange(1.0, 9.0))
    >>> round(far.wasserstein / math.log(3), 9), round(far.wasserstein_shape, 9)
    (1.0, 0.0)
    """

    wasserstein: float
    wasserstein_shape: float
    jensen_shannon: float
    jensen_shannon_shape: float
    scale: float


@takes_arrays
def spectral_distances(one: Float[Tensor, " k"], other: Float[Tensor, " l"]) -> SpectralDistances:
    """The distances between two spectra.

    Args:
        one: eigenvalues, any order.
        other: those of another matrix, as many or not.

    Returns:
        NaN where a spectrum is empty, holds no positive value, or holds NaN or inf.

    >>> spectral_distances([1.0, 2.0], [2.0, 1.0]).wasserstein
    0.0
    """
    logs = [_logs(spectrum) for spectrum in (one, other)]
    if any(len(values) == 0 for values in logs):
        return SpectralDistances(*[math.nan] * 5)
    moves, shares = _moves(*logs)
    scale = _weighted_median(moves, shares)
    return SpectralDistances(
        wasserstein=float((np.abs(moves) * shares).sum()),
        wasserstein_shape=float((np.abs(moves - scale) * shares).sum()),
        jensen_shannon=_jensen_shannon(*logs),
        jensen_shannon_shape=_jensen_shannon(logs[0] + scale, logs[1]),
        scale=scale,
    )


def _logs(spectrum: Tensor) -> NDArray[np.float64]:
    values = float64(spectrum).flatten().cpu().numpy()
    if len(values) == 0 or not np.isfinite(values).all() or values.max() <= 0:
        return np.empty(0)
    return np.asarray(np.log(np.sort(values[values > ZERO_SHARE * values.max()])))


def _moves(one: NDArray[np.float64], other: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """By how much each quantile moves from one to the other, and which share of all moves so."""
    ends = np.union1d(np.arange(1, len(one) + 1) * len(other), np.arange(1, len(other) + 1) * len(one))  # of k·l
    shares = np.diff(ends, prepend=0)
    places = ends - shares
    moves = other[places // len(one)] - one[places // len(other)]
    return moves, shares / (len(one) * len(other))


def _weighted_median(values: NDArray[np.float64], shares: NDArray[np.float64]) -> float:
    """A value about which the mean absolute distance is least; the middle of them where there are several."""
    order = np.argsort(values, kind="stable")
    below = np.cumsum(shares[order])
    low, high = np.searchsorted(below, [0.5 - 1e-12, 0.5 + 1e-12])
    return float(values[order[low]] + values[order[min(high, len(order) - 1)]]) / 2


def _jensen_shannon(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Between Gaussian kernel estimates of one bandwidth: Silverman's, by the larger spread and the smaller count."""
    bandwidth = 1.06 * max(one.std(), other.std()) * min(len(one), len(other)) ** -0.2
    if bandwidth == 0.0:
        return 0.0 if one[0] == other[0] else 1.0
    low = min(one[0], other[0]) - 5 * bandwidth
    width = (max(one[-1], other[-1]) + 5 * bandwidth - low) / _CELLS
    p, q = (_shares_of_cells(values, low, width, bandwidth) for values in (one, other))
    middle = 0.5 * (p + q)
    with np.errstate(divide="ignore", invalid="ignore"):
        divergence = sum(float(np.where(r > 0, r * np.log2(r / middle), 0.0).sum()) for r in (p, q)) / 2
    return math.sqrt(min(max(divergence, 0.0), 1.0))


def _shares_of_cells(values: NDArray[np.float64], low: float, width: float, bandwidth: float) -> NDArray[np.float64]:
    """What share of a kernel estimate lies in each cell; each value counts as in the middle of its cell."""
    counts = np.bincount(np.clip(((values - low) / width).astype(int), 0, _CELLS - 1), minlength=_CELLS)
    frequencies = np.fft.rfftfreq(2 * _CELLS, width)  # twice as long, so that nothing wraps around
    kernel = np.exp(-0.5 * (2 * np.pi * bandwidth * frequencies) ** 2)
    smooth = np.fft.irfft(np.fft.rfft(counts, 2 * _CELLS) * kernel, 2 * _CELLS)[:_CELLS]
    smooth = np.maximum(smooth, 0.0)
    return np.asarray(smooth / smooth.sum())
