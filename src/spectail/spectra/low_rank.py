"""Eigenvalues of ΔWᵀΔW of a matrix that is known by its factors, without forming it.

Not here: which weights are stored so.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from spectail.errors import SpectailError
from spectail.spectra.precision import float64


def eigenvalues_of_product(left: Float[Tensor, "h r"], right: Float[Tensor, "r d"]) -> Float[Tensor, " k"]:
    """The k = min(h, r, d) eigenvalues of (BA)ᵀBA that can differ from zero, ascending.

    With B = Q₁R₁ and Aᵀ = Q₂R₂ they are the squared singular values of R₁R₂ᵀ, of r rows and columns.

    Args:
        left: B, any floating dtype.
        right: A.

    Returns:
        float64, squared units of the product; right to rounding of the largest.

    Raises:
        SpectailError: a factor holds NaN or inf.

    >>> eigenvalues_of_product(torch.tensor([[3.0], [4.0]]), torch.tensor([[1.0, 0.0, 0.0]])).tolist()
    [25.0]
    """
    cores = [torch.linalg.qr(_finite(factor), mode="r").R for factor in (left, right.T)]
    singular: Tensor = torch.linalg.svdvals(cores[0] @ cores[1].T)
    return singular.flip(0).square()


def eigenvalues_of_kronecker(first: Float[Tensor, "h d"], second: Float[Tensor, "k m"]) -> Float[Tensor, " b"]:
    """The eigenvalues of (A⊗B)ᵀ(A⊗B) that can differ from zero, ascending: all products of those of A and of B.

    Args:
        first: A, any floating dtype.
        second: B.

    Returns:
        float64.

    Raises:
        SpectailError: a factor holds NaN or inf.

    >>> eigenvalues_of_kronecker(torch.tensor([[2.0]]), torch.eye(2)).tolist()
    [4.0, 4.0]
    """
    a, b = (torch.linalg.svdvals(_finite(factor)) for factor in (first, second))
    products: Tensor = torch.outer(a, b).flatten().sort().values
    return products.square()


def _finite(factor: Tensor) -> Tensor:
    factor = float64(factor)
    if not bool(factor.isfinite().all()):
        raise SpectailError("weights hold NaN or inf, so they have no spectrum")
    return factor
