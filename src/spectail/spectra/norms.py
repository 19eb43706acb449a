"""Norms and ranks of a matrix, or of its spectrum.

Not here: what an exponent or a phase says.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from spectail.errors import SpectailError
from spectail.spectra.precision import float64, takes_arrays, takes_matrix, takes_spectrum


@takes_matrix
def spectral_norm(matrix: Float[Tensor, "h d"], *, rtol: float = 1e-7, max_iterations: int = 60) -> float:
    """‖M‖₂ by Golub–Kahan–Lanczos bidiagonalisation with full reorthogonalisation.

    For an update, whose largest singular value stands apart, a dozen products with M and Mᵀ
    suffice, which takes a small part of the time of all singular values.

    Args:
        matrix: M, any floating dtype.
        rtol: stop when an iteration changes the estimate by less than this share. The estimate
            rises with each iteration and never exceeds ‖M‖₂.
        max_iterations: after which all singular values are computed instead.

    Returns:
        the norm; NaN where M holds NaN or inf.

    Raises:
        SpectailError: M is no matrix, or is empty.

    >>> round(spectral_norm([[0.0, 3.0], [4.0, 0.0]]), 6)
    4.0
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


@takes_arrays
def frobenius_norm(matrix: Float[Tensor, "*shape"]) -> float:
    """‖M‖_F, summed in float64.

    Args:
        matrix: M, or any array.

    >>> frobenius_norm([[3.0, 0.0], [0.0, 4.0]])
    5.0
    """
    return float(torch.linalg.vector_norm(float64(matrix)))


@takes_arrays
def stable_rank(spectrum: Float[Tensor, "*batch b"]) -> Float[Tensor, "*batch"]:
    """‖W‖_F² / ‖W‖₂² = Σλ / λ_max: about how many directions carry the weight.

    Args:
        spectrum: eigenvalues of WᵀW, any order.

    Returns:
        between 1 and b; NaN for an all-zero matrix.

    Raises:
        SpectailError: there is no eigenvalue.

    >>> stable_rank([2.0, 2.0, 4.0]).item()
    2.0
    """
    if not spectrum.ndim or not spectrum.shape[-1]:
        raise SpectailError(f"a stable rank is that of one eigenvalue at least, got shape {tuple(spectrum.shape)}")
    return spectrum.sum(-1) / spectrum.amax(-1)


@takes_spectrum
def effective_rank(spectrum: Float[Tensor, " k"]) -> float:
    """exp(−Σ p log p) with p = σ/Σσ, the shares of the singular values: between 1 and their number.

    Args:
        spectrum: eigenvalues σ² of WᵀW, any order.

    Returns:
        NaN for an all-zero matrix.

    Raises:
        SpectailError: there is no eigenvalue, or they are not in one dimension.

    Source: Roy & Vetterli (2007), The effective rank.

    >>> round(effective_rank([4.0, 4.0, 4.0]), 6)
    3.0
    """
    singular = spectrum.detach().double().clamp_min(0.0).sqrt()
    shares = singular / singular.sum()
    return float(torch.special.entr(shares).sum().exp())


def _orthogonalise(vector: Tensor, basis: list[Tensor]) -> Tensor:
    if not basis:
        return vector
    q = torch.stack(basis, 1)
    for _ in range(2):  # twice is enough (Kahan)
        vector = vector - q @ (q.T @ vector)
    return vector
