"""Eigenvalues that left the bulk, and where a rank-one perturbation puts them."""

from __future__ import annotations

import math

from jaxtyping import Float
from torch import Tensor

from spectail.spectra.bulk import MarchenkoPastur

# The largest eigenvalue of an untrained matrix passes this in about 2 of 1,000 draws (P(TW₁ > 3)).
VISIBLE_TRACY_WIDOM_SCALES = 3.0


def visible_edge(law: MarchenkoPastur) -> float:
    """The value that an eigenvalue has to pass to count as outside the bulk.

    The edge λ₊ plus three Tracy–Widom scales, since the largest eigenvalue of an untrained matrix
    fluctuates about λ₊ by one.
    """
    return law.edges[1] + VISIBLE_TRACY_WIDOM_SCALES * law.edge_fluctuation


def count_spikes(spectrum: Float[Tensor, " b"], law: MarchenkoPastur) -> int:
    """How many eigenvalues lie visibly past the upper edge of the bulk.

    Args:
        spectrum: eigenvalues, any order.
        law: the bulk, as `fit_marchenko_pastur` finds it.
    """
    return int((spectrum > visible_edge(law)).sum())


def spectral_gap(spectrum: Float[Tensor, " b"], law: MarchenkoPastur) -> float:
    """λ₁ / λ₊, the largest eigenvalue in units of the bulk's edge: about 1 without a spike.

    NaN where the bulk has no width (at least half of the eigenvalues are zero).

    Source: the spectral gap of paper §5.1.
    """
    edge = law.edges[1]
    return float(spectrum.max()) / edge if edge > 0 else math.nan


def critical_strength(h: float, d: float) -> float:
    """θ_c = (hd)^{1/4}: the rank-one perturbation that just makes a spike.

    Of a matrix h × d with independent entries of variance one.

    Source: Benaych-Georges & Nadakuditi (2012).
    """
    return math.sqrt(math.sqrt(h * d))


def spike_eigenvalue(theta: float, h: float, d: float) -> float:
    """λ₁ = (θ² + h)(θ² + d)/θ² of W + θ p vᵀ, or the bulk's edge where θ is below critical.

    Args:
        theta: singular value of the perturbation, units of the entries of W.
        h: rows of W, whose entries have variance one.
        d: its columns.

    Source: Benaych-Georges & Nadakuditi (2012).
    """
    if theta <= critical_strength(h, d):
        return (math.sqrt(h) + math.sqrt(d)) ** 2
    return (theta**2 + h) * (theta**2 + d) / theta**2


def spike_overlap_left(theta: float, h: float, d: float) -> float:
    """|û₁·p|² = (θ⁴ − hd)/(θ²(θ² + h)), 0 below critical. Source: as `spike_eigenvalue`."""
    return max(0.0, (theta**4 - h * d) / (theta**2 * (theta**2 + h)))


def spike_overlap_right(theta: float, h: float, d: float) -> float:
    """|v̂₁·v|² = (θ⁴ − hd)/(θ²(θ² + d)), 0 below critical. Source: as `spike_eigenvalue`."""
    return spike_overlap_left(theta, d, h)
