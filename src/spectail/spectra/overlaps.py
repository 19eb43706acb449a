"""Singular vectors of two matrices: their squared overlaps, the angles between their subspaces, and how both spread.

Not here: which pairs of matrices are compared, and what independent directions would have (`overlap_nulls`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from spectail.errors import SpectailError
from spectail.spectra.norms import frobenius_norm
from spectail.spectra.precision import float64, takes_arrays, takes_matrix

WINDOW = 5
"""Ranks to both sides in which a direction is looked for: neighbours in a bulk change places at the least update."""


LEADING = 10
"""The leading directions whose subspaces are compared."""


def leading_count(b: int) -> int:
    """How many of b directions are leading: ten, or half of fewer than twenty, as all of them span everything.

    >>> leading_count(1000), leading_count(8), leading_count(1)
    (10, 4, 1)
    """
    return min(LEADING, max(b // 2, 1))


@dataclass(frozen=True)
class SingularVectors:
    """The b = min(h, d) thin singular vectors of a matrix, one a column, strongest first.

    Attributes:
        left: U (h × b), float64.
        right: V (d × b), float64.
        rank: how many of them are the matrix's; what follows is orthonormal, and else arbitrary. −1 where it was not
            asked for.

    >>> singular_vectors([[3.0, 0.0, 0.0], [0.0, 2.0, 0.0]]).right.shape
    torch.Size([3, 2])
    """

    left: Float[Tensor, "h b"]
    right: Float[Tensor, "d b"]
    rank: int = -1


@takes_matrix
def singular_vectors(matrix: Float[Tensor, "h d"], *, rounding: float | None = None) -> SingularVectors:
    """Thin singular vectors in float64.

    Args:
        matrix: any floating dtype, on any device; an array or a list of rows will do.
        rounding: singular values up to this one are no rank; by default `rounding_level` of the matrix. A difference
            of weights has the rounding of the weights.

    Raises:
        SpectailError: the matrix is none, is empty, or holds NaN or inf.

    >>> singular_vectors([[0.0, 2.0], [1.0, 0.0]]).right.abs().tolist()
    [[0.0, 1.0], [1.0, 0.0]]
    >>> singular_vectors([[1.0, 1.0], [1.0, 1.0]]).rank
    1
    """
    m = float64(matrix)
    if not bool(m.isfinite().all()):
        raise SpectailError("a matrix with NaN or inf has no singular vectors")
    u, values, vh = torch.linalg.svd(m, full_matrices=False)
    of_the_solver = max(m.shape) * torch.finfo(m.dtype).eps * float(values[0])
    level = max(of_the_solver, rounding_level(matrix) if rounding is None else rounding)
    return SingularVectors(u, vh.T, int((values > level).sum()))


@takes_matrix
def rounding_level(matrix: Float[Tensor, "h d"]) -> float:
    """The spectral norm that the rounding of a matrix to its dtype has at most.

    It is the norm of independent errors of half a unit in the last place, (ε/2)‖M‖_F (1/√h + 1/√d), two to three times
    what rounding makes of entries of about one size.

    Args:
        matrix: as it is stored.

    >>> round(rounding_level([[1.0, 0.0], [0.0, 1.0]]) / torch.finfo(torch.float64).eps, 6)
    1.0
    """
    h, d = matrix.shape
    return torch.finfo(matrix.dtype).eps / 2 * frobenius_norm(matrix) * (1 / math.sqrt(h) + 1 / math.sqrt(d))


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
    _check_columns(j, q)
    return (j.T @ q).square_()


class _Sides(NamedTuple):
    left: Float[Tensor, "b b"]
    right: Float[Tensor, "b b"]


class Overlaps(_Sides):
    """Left and right squared overlaps of two matrices: a pair, and why entries are NaN.

    Attributes:
        left: O(U_W, U_M), float64.
        right: O(V_W, V_M).
        note: why entries are NaN; "" where none is.

    >>> singular_overlaps([[2.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [0.0, 0.0]]).note
    'M has numerical rank 1: its further directions are arbitrary, their overlaps NaN'
    """

    note: str = ""


@takes_arrays
def singular_overlaps(weights: Float[Tensor, "h d"], update: Float[Tensor, "h2 d2"]) -> Overlaps:
    """O(U_W, U_M) and O(V_W, V_M) of weights W and an update M, strongest directions first.

    Args:
        weights: W, any floating dtype.
        update: M, of the same shape.

    Returns:
        left and right overlaps, float64; entry (i, j) pairs direction i of W with j of M. NaN past the numerical
        rank of either, whose directions are arbitrary; `note` says so. Rows on the shorter side of the matrices sum
        to 1, those on the longer side, of n entries, to b/n on average for independent directions: take shares of the
        sum.

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
    overlaps = Overlaps(squared_overlaps(w.left, m.left), squared_overlaps(w.right, m.right))
    b = w.left.shape[1]
    for one in overlaps:
        one[w.rank :], one[:, m.rank :] = math.nan, math.nan
    short = [f"{name} has numerical rank {of.rank}" for name, of in (("W", w), ("M", m)) if of.rank < b]
    if short:
        of_both = "its" if len(short) == 1 else "their"
        overlaps.note = f"{' and '.join(short)}: {of_both} further directions are arbitrary, their overlaps NaN"
    return overlaps


@takes_arrays
def principal_angles(j: Float[Tensor, "m k"], q: Float[Tensor, "m2 l"]) -> Float[Tensor, " a"]:
    """The angles between two subspaces, radians, smallest first; as many as the smaller has dimensions.

    No angle depends on how a subspace is spanned, so that directions which change places do not matter.

    Args:
        j: orthonormal columns that span the one, such as the leading singular vectors of a matrix.
        q: those of the other.

    Returns:
        between 0 and π/2, float64; small ones are exact too, since they come from sines.

    Raises:
        SpectailError: they have different numbers of rows, or one has no column.

    Source: Björck & Golub (1973), Numerical methods for computing angles between linear subspaces.

    >>> principal_angles([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]], [[0.0], [0.0], [1.0]]).tolist() == [math.pi / 2]
    True
    """
    _check_columns(j, q)
    j, q = float64(j), float64(q)
    small, large = (j, q) if j.shape[1] <= q.shape[1] else (q, j)
    if not small.shape[1]:
        raise SpectailError("a subspace without a dimension has no angles")
    if not (bool(j.isfinite().all()) and bool(q.isfinite().all())):
        raise SpectailError("columns that hold NaN or inf span no subspace")
    inside = large.T @ small
    cosines = torch.linalg.svdvals(inside)
    sines = torch.linalg.svdvals(small - large @ inside).flip(0)
    return torch.where(cosines > math.sqrt(0.5), sines.clamp(max=1.0).asin(), cosines.clamp(max=1.0).acos())


@takes_arrays
def leading_overlap(overlaps: Float[Tensor, "*batch b b2"], k: int) -> Float[Tensor, "*batch"]:
    """Σ_{i,j≤k} O_ij / k: the mean squared cosine of the principal angles between the leading k directions.

    1 where both span the same, whatever their order; k/n for independent directions in n dimensions. One minus it is
    how much of the subspace turned.

    Args:
        overlaps: O, one or many.
        k: how many directions of each.

    Returns:
        NaN where one of these directions is.

    Raises:
        SpectailError: there are not so many directions.

    >>> leading_overlap([[0.0, 1.0], [1.0, 0.0]], 2).item()
    1.0
    """
    if overlaps.ndim < 2 or not 1 <= k <= min(overlaps.shape[-2:]):
        raise SpectailError(f"overlaps of shape {tuple(overlaps.shape)} have no leading block of k={k}")
    return overlaps[..., :k, :k].sum((-2, -1)) / k


@takes_arrays
def window_overlap(
    overlaps: Float[Tensor, "*batch b b2"], width: int = WINDOW, *, share: bool = False
) -> Float[Tensor, "*batch b"]:
    """Σ_{|i−j|≤w} O_ij of each row: how much of a direction lies within some ranks of its place.

    In a bulk neighbours are nearly equally strong, so that a diagonal entry says little.

    Args:
        overlaps: O, one or many; NaN past a rank counts as nothing.
        width: w, ranks to both sides.
        share: whether to divide by the sum of the row, which is less than 1 on the longer side of the matrices.

    Returns:
        NaN where a whole row is.

    Raises:
        SpectailError: the overlaps are no matrix, or the width is negative.

    >>> window_overlap([[0.0, 1.0, 0.0], [0.5, 0.0, 0.5], [0.0, 0.0, 0.5]], 1).tolist()
    [1.0, 1.0, 0.5]
    """
    if overlaps.ndim < 2 or width < 0:
        raise SpectailError(f"overlaps of shape {tuple(overlaps.shape)} have no window of ±{width} ranks")
    present = _present(overlaps)
    ranks = (torch.arange(count, device=overlaps.device) for count in overlaps.shape[-2:])
    row, column = torch.meshgrid(*ranks, indexing="ij")
    inside = torch.where((row - column).abs() <= width, present, 0.0).sum(-1)
    inside = torch.where(overlaps.isnan().all(-1), math.nan, inside)
    return inside / present.sum(-1) if share else inside


@takes_arrays
def participation_ratio(overlaps: Float[Tensor, "*batch b"]) -> Float[Tensor, "*batch"]:
    """(Σ_j O_j)² / Σ_j O_j²: over how many directions a row of overlaps spreads.

    1 for a row with a single entry, b for a row of equal ones, about b/3 for a Haar-random direction. What a row sums
    to does not matter.

    Args:
        overlaps: of which the last dimension is a row; NaN past a rank counts as nothing.

    Returns:
        NaN for a row of zeros, or of NaN.

    >>> participation_ratio([[1.0, 0.0], [0.5, 0.5]]).tolist()
    [1.0, 2.0]
    """
    present = _present(overlaps)
    return present.sum(-1).square() / present.square().sum(-1)


@takes_arrays
def overlap_entropy(overlaps: Float[Tensor, "*batch b"]) -> Float[Tensor, "*batch"]:
    """−Σ p log p with p = O_j/ΣO, in nats: 0 for a row with a single entry, log b for a row of equal ones.

    Args:
        overlaps: of which the last dimension is a row; NaN past a rank counts as nothing.

    Returns:
        NaN for a row of zeros, or of NaN.

    >>> overlap_entropy([[1.0, 0.0], [0.5, 0.5]]).exp().tolist()
    [1.0, 2.0]
    """
    present = _present(overlaps)
    entropy: Tensor = torch.special.entr(present / present.sum(-1, keepdim=True)).sum(-1)
    return entropy


def _present(overlaps: Tensor) -> Tensor:
    """Overlaps with 0 where they are NaN."""
    if not overlaps.ndim or not overlaps.shape[-1]:
        raise SpectailError(f"expected a row of overlaps, got {'none' if overlaps.ndim else 'a single number'}")
    return torch.where(overlaps.isnan(), 0.0, overlaps)


def _check_columns(j: Tensor, q: Tensor) -> None:
    if j.ndim != 2 or q.ndim != 2 or j.shape[0] != q.shape[0]:
        raise SpectailError(
            f"matrices of shape {tuple(j.shape)} and {tuple(q.shape)} have no overlaps; their columns have one length"
        )
