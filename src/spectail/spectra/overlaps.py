"""Squared overlaps between the singular vectors of two matrices, and how far they spread."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from spectail.errors import SpectailError
from spectail.spectra.precision import float64


def squared_overlaps(j: Float[Tensor, "m b"], q: Float[Tensor, "m2 b2"]) -> Float[Tensor, "b b2"]:
    """O(J, Q) = (JᵀQ)∘², entry by entry.

    For orthonormal columns each entry is the squared cosine between two directions: no sign of a
    singular vector matters, and rows and columns sum to at most one.

    Args:
        j: orthonormal columns, such as the thin singular vectors of a matrix.
        q: those of another.

    Raises:
        ValueError: they have different numbers of rows.

    Source: paper App. C, eq. 36.
    """
    if j.shape[0] != q.shape[0]:
        raise SpectailError(f"vectors of {j.shape[0]} and of {q.shape[0]} entries have no overlaps")
    return (j.T @ q).square_()


def singular_overlaps(
    weights: Float[Tensor, "h d"], update: Float[Tensor, "h2 d2"]
) -> tuple[Float[Tensor, "b b"], Float[Tensor, "b b"]]:
    """O(U_W, U_M) and O(V_W, V_M) of weights W and an update M, strongest directions first.

    Args:
        weights: W, any floating dtype.
        update: M, of the same shape.

    Returns:
        left and right overlaps, float64; entry (i, j) pairs direction i of W with j of M.

    Raises:
        ValueError: the shapes differ, or a matrix holds NaN or inf.

    Source: paper App. C.
    """
    if weights.shape != update.shape:
        raise SpectailError(f"W {tuple(weights.shape)} and M {tuple(update.shape)} have different shapes")
    w, m = singular_vectors(weights), singular_vectors(update)
    return squared_overlaps(w.left, m.left), squared_overlaps(w.right, m.right)


def participation_ratio(overlaps: Float[Tensor, "*batch b"]) -> Float[Tensor, "*batch"]:
    """(Σ_j O_j)² / Σ_j O_j²: over how many directions a row of overlaps spreads.

    1 for a row with a single entry, b for a row of equal ones, about b/3 for a Haar-random direction.

    Returns:
        NaN for a row of zeros.
    """
    return overlaps.sum(-1).square() / overlaps.square().sum(-1)


@dataclass(frozen=True)
class SingularVectors:
    """The b = min(h, d) thin singular vectors of a matrix, one a column, strongest first."""

    left: Float[Tensor, "h b"]
    right: Float[Tensor, "d b"]


def singular_vectors(matrix: Float[Tensor, "h d"]) -> SingularVectors:
    """Thin singular vectors in float64.

    Raises:
        ValueError: the matrix holds NaN or inf.
    """
    m = float64(matrix)
    if not bool(m.isfinite().all()):
        raise SpectailError("a matrix with NaN or inf has no singular vectors")
    u, _, vh = torch.linalg.svd(m, full_matrices=False)
    return SingularVectors(u, vh.T)
