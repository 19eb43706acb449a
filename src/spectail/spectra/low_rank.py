"""Eigenvalues and singular vectors of a matrix that is known by its factors, without forming it.

Not here: which weights are stored so.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from spectail.errors import SpectailError
from spectail.spectra.overlaps import SingularVectors
from spectail.spectra.precision import NOT_FINITE, ZERO_SHARE, float64


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


def vectors_of_product(left: Float[Tensor, "h r"], right: Float[Tensor, "r d"], k: int) -> SingularVectors:
    """The k strongest pairs of singular vectors of BA, or as many as its rank.

    Args:
        left: B, any floating dtype.
        right: A.
        k: how many.

    Raises:
        SpectailError: a factor holds NaN or inf.

    >>> vectors_of_product(torch.tensor([[3.0], [4.0]]), torch.tensor([[1.0, 0.0, 0.0]]), 5).left.shape
    torch.Size([2, 1])
    """
    (first, core), (second, other) = (torch.linalg.qr(_finite(factor)) for factor in (left, right.T))
    u, singular, vh = torch.linalg.svd(core @ other.T, full_matrices=False)
    some = _strongest(singular, k)
    return SingularVectors(first @ u[:, some], second @ vh.T[:, some])


def vectors_of_kronecker(first: Float[Tensor, "h d"], second: Float[Tensor, "k m"], k: int) -> SingularVectors:
    """The k strongest pairs of singular vectors of A⊗B, or as many as its rank: products of those of A and of B.

    Args:
        first: A, any floating dtype.
        second: B.
        k: how many.

    Raises:
        SpectailError: a factor holds NaN or inf.

    >>> vectors_of_kronecker(torch.tensor([[2.0]]), torch.eye(2), 1).left.shape
    torch.Size([2, 1])
    """
    (ua, sa, vha), (ub, sb, vhb) = (torch.linalg.svd(_finite(one), full_matrices=False) for one in (first, second))
    some = _strongest(torch.outer(sa, sb).flatten(), k)
    a, b = some // len(sb), some % len(sb)

    def products(of_a: Tensor, of_b: Tensor) -> Tensor:
        return torch.einsum("ik,jk->ijk", of_a[:, a], of_b[:, b]).flatten(0, 1)

    return SingularVectors(products(ua, ub), products(vha.T, vhb.T))


def _strongest(singular: Tensor, k: int) -> Tensor:
    """Where the k largest singular values stand, or as many as differ from zero."""
    largest, at = singular.topk(min(k, len(singular)))
    return at[largest.square() > ZERO_SHARE * largest[:1].square()]


def _finite(factor: Tensor) -> Tensor:
    factor = float64(factor)
    if not bool(factor.isfinite().all()):
        raise SpectailError(NOT_FINITE)
    return factor
