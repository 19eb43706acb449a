"""Eigenvalues that left the bulk, and where a rank-one perturbation puts them."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from spectail.spectra.bulk import MarchenkoPastur
from spectail.spectra.precision import float64

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


def spectral_norm(matrix: Float[Tensor, "h d"], rtol: float = 1e-7, max_iterations: int = 60) -> float:
    """‖M‖₂ by Golub–Kahan–Lanczos bidiagonalisation with full reorthogonalisation.

    For an update, whose largest singular value stands apart, a dozen products with M and Mᵀ
    suffice, which is a small part of all singular values.

    Args:
        matrix: M, any floating dtype.
        rtol: stop when an iteration changes the estimate by less than this share. The estimate
            rises with each iteration and never exceeds ‖M‖₂.
        max_iterations: after which all singular values are computed instead.

    Returns:
        the norm; NaN where M holds NaN or inf.
    """
    m = matrix.detach()
    m = m.cpu() if m.device.type == "mps" else m
    largest = float(m.abs().max())
    if not math.isfinite(largest):
        return math.nan
    if largest == 0.0:
        return 0.0
    scaled = m / largest
    right = scaled.sum(0).double() + scaled[int(scaled.norm(dim=1).argmax())].double()
    rights = [right / right.norm()] if right.norm() > 0 else [scaled[0].double() * 0 + m.shape[1] ** -0.5]
    lefts: list[Tensor] = []
    diagonal: list[float] = []
    off: list[float] = []
    estimate = 0.0
    for _ in range(min(max_iterations, *m.shape)):
        left = (scaled @ rights[-1].to(scaled.dtype)).double()
        left = _orthogonalise(left, lefts)
        diagonal.append(float(left.norm()))
        if diagonal[-1] == 0.0:
            break
        lefts.append(left / diagonal[-1])
        bidiagonal = torch.diag(torch.tensor(diagonal, dtype=torch.float64))
        if off:
            bidiagonal += torch.diag(torch.tensor(off, dtype=torch.float64), 1)
        previous, estimate = estimate, float(torch.linalg.svdvals(bidiagonal)[0])
        if estimate - previous <= rtol * estimate:
            return estimate * largest
        new = _orthogonalise((scaled.T @ lefts[-1].to(scaled.dtype)).double(), rights)
        off.append(float(new.norm()))
        if off[-1] == 0.0:
            return estimate * largest
        rights.append(new / off[-1])
    return float(torch.linalg.svdvals(scaled.double())[0]) * largest


def frobenius_norm(matrix: Float[Tensor, "h d"]) -> float:
    """‖M‖_F, summed in float64."""
    return float(torch.linalg.vector_norm(float64(matrix)))


def _orthogonalise(vector: Tensor, basis: list[Tensor]) -> Tensor:
    if not basis:
        return vector
    q = torch.stack(basis, 1)
    for _ in range(2):  # twice is enough (Kahan)
        vector = vector - q @ (q.T @ vector)
    return vector
