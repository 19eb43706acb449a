"""Singular vectors, their squared overlaps with those of another matrix, and how far these spread.

Not here: which pairs of matrices are compared.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from spectail.errors import SpectailError
from spectail.spectra.precision import float64, takes_arrays, takes_matrix


@dataclass(frozen=True)
class SingularVectors:
    """The b = min(h, d) thin singular vectors of a matrix, one a column, strongest first.

    Attributes:
        left: U (h × b), float64.
        right: V (d × b), float64.

    >>> singular_vectors([[3.0, 0.0, 0.0], [0.0, 2.0, 0.0]]).right.shape
    torch.Size([3, 2])
    """

    left: Float[Tensor, "h b"]
    right: Float[Tensor, "d b"]


@takes_matrix
def singular_vectors(matrix: Float[Tensor, "h d"]) -> SingularVectors:
    """Thin singular vectors in float64.

    Args:
        matrix: any floating dtype, on any device; an array or a list of rows will do.

    Raises:
        SpectailError: the matrix is none, is empty, or holds NaN or inf.

    >>> singular_vectors([[0.0, 2.0], [1.0, 0.0]]).right.abs().tolist()
    [[0.0, 1.0], [1.0, 0.0]]
    """
    m = float64(matrix)
    if not bool(m.isfinite().all()):
        raise SpectailError("a matrix with NaN or inf has no singular vectors")
    u, _, vh = torch.linalg.svd(m, full_matrices=False)
    return SingularVectors(u, vh.T)


@takes_arrays
def squared_overlaps(j: Float[Tensor, "m b"], q: Float[Tensor, "m2 b2"]) -> Float[Tensor, "b b2"]:
    """O(J, Q) = (JᵀQ)∘², entry by entry.

    For orthonormal columns each entry is the squared cosine between two directions: no sign of a
    singular vector matters, and rows and columns sum to at most one.

    Args:
        j: orthonormal columns, such as the thin singular vectors of a matrix.
        q: those of another.

    Raises:
        SpectailError: they have different numbers of rows.

    Source: paper App. C, eq. 36.

    >>> squared_overlaps([[1.0, 0.0], [0.0, 1.0]], [[0.5], [0.0]]).tolist()
    [[0.25], [0.0]]
    """
    if j.ndim != 2 or q.ndim != 2 or j.shape[0] != q.shape[0]:
        raise SpectailError(
            f"matrices of shape {tuple(j.shape)} and {tuple(q.shape)} have no overlaps; their columns have one length"
        )
    return (j.T @ q).square_()


@takes_arrays
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
        SpectailError: the shapes differ, or a matrix is empty, or holds NaN or inf.

    Source: paper App. C.

    >>> left, right = singular_overlaps([[2.0, 0.0], [0.0, 1.0]], [[0.0, 3.0], [1.0, 0.0]])
    >>> left.tolist(), right.tolist()
    ([[1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [1.0, 0.0]])
    """
    if weights.shape != update.shape:
        raise SpectailError(f"W {tuple(weights.shape)} and M {tuple(update.shape)} have different shapes")
    w, m = singular_vectors(weights), singular_vectors(update)
    return squared_overlaps(w.left, m.left), squared_overlaps(w.right, m.right)


@takes_arrays
def participation_ratio(overlaps: Float[Tensor, "*batch b"]) -> Float[Tensor, "*batch"]:
    """(Σ_j O_j)² / Σ_j O_j²: over how many directions a row of overlaps spreads.

    1 for a row with a single entry, b for a row of equal ones, about b/3 for a Haar-random direction.

    Args:
        overlaps: of which the last dimension is a row.

    Returns:
        NaN for a row of zeros.

    >>> participation_ratio([[1.0, 0.0], [0.5, 0.5]]).tolist()
    [1.0, 2.0]
    """
    return overlaps.sum(-1).square() / overlaps.square().sum(-1)
