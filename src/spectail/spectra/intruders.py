"""Intruder dimensions: strong directions of a tuned matrix that the matrix it was tuned from has nothing like.

Not here: which matrix another was tuned from.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from scipy.linalg import blas, eigh, eigh_tridiagonal, lapack
from scipy.sparse.linalg import ArpackError, LinearOperator, eigsh
from torch import Tensor

from spectail.errors import SpectailError
from spectail.spectra.gram import blas_threads, lower_gram
from spectail.spectra.overlaps import SingularVectors, squared_overlaps
from spectail.spectra.precision import ZERO_SHARE, float64, takes_arrays, takes_matrix

EXAMINED = 10
"""How many of the strongest directions are examined, as by the authors."""

THRESHOLD = 0.5
"""Of |cosine|, below which a direction is an intruder; PEFT's default too."""

_SMALL = 64  # rows up to which all eigenvectors cost nothing


@dataclass(frozen=True)
class IntruderDimensions:
    """What a tuned matrix has that its base has not.

    Attributes:
        cosines: of each of the strongest left singular vectors of the tuned matrix, strongest first: the largest
            |cosine| with a left singular vector of the base, whichever.
        threshold: below which it is an intruder.
        base: the strongest singular vectors of the base, as many.

    >>> IntruderDimensions(torch.tensor([1.0, 0.3]), 0.5, strongest_vectors([[2.0, 0.0], [0.0, 1.0]], 2)).count
    1
    """

    cosines: Float[Tensor, " k"]
    threshold: float
    base: SingularVectors

    @property
    def count(self) -> int:
        """How many of them are intruders."""
        return int((self.cosines < self.threshold).sum())


@takes_matrix
def intruder_dimensions(
    base: Float[Tensor, "h d"], tuned: Float[Tensor, "h2 d2"], k: int = EXAMINED, threshold: float = THRESHOLD
) -> IntruderDimensions:
    """Which of the strongest directions of a tuned matrix its base has nothing like.

    Of the tuned matrix only the strongest vectors are found. Of the base few vectors are needed, but the cosines with
    all: these are taken in the basis in which its Gram matrix is tridiagonal, where eigenvectors cost no n³. Singular
    vectors of one strength have no directions of their own, and their cosines mean nothing, here as in the paper.

    Args:
        base: W₀, any floating dtype, on any device; an array or a list of rows will do.
        tuned: W₀ + ΔW.
        k: how many of its strongest left singular vectors are examined.
        threshold: of |cosine|, below which one is an intruder.

    Returns:
        their cosines, and how many are below the threshold. Fewer than k where the tuned matrix has a lower rank.

    Raises:
        SpectailError: the shapes differ, a matrix is zero, or it holds NaN or inf.

    Source: Shuttleworth, Andreas, Torralba, Sharma (2024), LoRA vs Full Fine-tuning: An Illusion of Equivalence,
    definition and algorithm 1, with k = 10; the sign of a singular vector, which is arbitrary, does not count.

    >>> found = intruder_dimensions([[2.0, 0.0], [0.0, 1.0]], [[2.0, 0.0], [0.0, 1.5]])
    >>> found.count, found.cosines.tolist()
    (0, [1.0, 1.0])
    """
    if tuned.shape != base.shape:
        raise SpectailError(f"W₀ {tuple(base.shape)} and W₀ + ΔW {tuple(tuned.shape)} have different shapes")
    before, after = float64(base), float64(tuned)
    scale = float(before.abs().max())
    if not (bool(before.isfinite().all()) and bool(after.isfinite().all()) and scale > 0):
        raise SpectailError("a matrix that is zero, or holds NaN or inf, has no singular vectors")
    before, after = before / scale, after / scale
    examined = strongest_vectors(after, k).left
    is_wide = before.shape[0] <= before.shape[1]
    values, coefficients, leading = _in_eigenbasis(
        lower_gram(before if is_wide else before.T), examined if is_wide else before.T @ examined, k
    )
    if not is_wide:  # uᵢ = W₀vᵢ/σᵢ, so that uᵢ·u = vᵢ·W₀ᵀu/σᵢ
        some = values > ZERO_SHARE * values[-1]
        coefficients = coefficients[some] / values[some].sqrt()[:, None]
    return IntruderDimensions(
        coefficients.abs().amax(0).clamp_max(1.0), threshold, _both_sides(before, values[-k:].flip(0), leading.flip(1))
    )


@takes_matrix
def strongest_vectors(matrix: Float[Tensor, "h d"], k: int) -> SingularVectors:
    """The k strongest pairs of singular vectors, or as many as the rank, by the Gram matrix of the shorter side.

    Args:
        matrix: any floating dtype, on any device; finite, and its squares too.
        k: how many.

    >>> strongest_vectors([[3.0, 0.0, 0.0], [0.0, 2.0, 0.0]], 1).left.abs().tolist()
    [[1.0], [0.0]]
    """
    values64 = float64(matrix)
    gram = lower_gram(values64 if values64.shape[0] <= values64.shape[1] else values64.T)
    size = len(gram)
    if gram.device.type != "cpu" or size <= max(_SMALL, 4 * k):
        values, vectors = (part[..., max(size - k, 0) :] for part in torch.linalg.eigh(gram, UPLO="L"))
    else:
        values, vectors = _last_eigenvectors(gram.numpy(), k)
    return _both_sides(values64, values.flip(0), vectors.flip(1))


@takes_arrays
def subspace_overlap(j: Float[Tensor, "m b"], q: Float[Tensor, "m b2"]) -> float:
    """‖JᵀQ‖_F² / min(b, b2): which share of the smaller of two subspaces lies in the other.

    Args:
        j: orthonormal columns.
        q: others, of as many rows.

    Returns:
        1 where one holds the other, about max(b, b2)/m for random ones; NaN where one is empty.

    Raises:
        SpectailError: they have different numbers of rows.

    Source: Hu et al. (2021), LoRA, section 7.2 and appendix G.

    >>> subspace_overlap([[1.0], [0.0]], [[0.6], [0.8]])
    0.36
    """
    overlaps = squared_overlaps(float64(j), float64(q))
    return float(overlaps.sum()) / min(overlaps.shape) if overlaps.numel() else float("nan")


def _last_eigenvectors(gram: NDArray[np.float64], k: int) -> tuple[Tensor, Tensor]:
    """The k largest eigenvalues of a Gram matrix, of which only the lower half is read, and their vectors.

    By Lanczos iteration, which at 4096 rows takes a third of the time of a reduction to three diagonals even where all
    lie in the bulk; by such a reduction where Lanczos fails.
    """
    size = len(gram)
    start = 2.0 + np.sin(np.arange(1, size + 1))  # orthogonal to no vector of any structure
    with blas_threads(size):
        product = LinearOperator((size, size), lambda x: blas.dsymv(1.0, gram, x, lower=1), dtype=np.float64)
        try:
            some = eigsh(product, k, which="LA", v0=start, ncv=4 * k)
        except ArpackError:
            some = eigh(gram, lower=True, subset_by_index=(size - k, size - 1), check_finite=False)
    values, vectors = map(torch.from_numpy, some)
    return values, vectors


def _both_sides(matrix: Tensor, values: Tensor, short: Tensor) -> SingularVectors:
    """Singular vectors of both sides from those of the shorter one, strongest first; without those of no strength."""
    short = short[:, values > ZERO_SHARE * values[:1]]
    is_wide = matrix.shape[0] <= matrix.shape[1]
    other = (matrix.T if is_wide else matrix) @ short
    other = other / other.norm(dim=0)
    return SingularVectors(short, other) if is_wide else SingularVectors(other, short)


def _in_eigenbasis(gram: Tensor, vectors: Tensor, k: int) -> tuple[Tensor, Tensor, Tensor]:
    """Of a Gram matrix, which is used up: eigenvalues, vectors in its eigenbasis, and its last k eigenvectors.

    Its eigenvectors are those of a tridiagonal T, turned by the reflectors Q of G = QTQᵀ. Vectors are turned by Qᵀ
    instead, which costs n² a vector where to turn all eigenvectors costs 2n³.
    """
    size = len(gram)
    if gram.device.type != "cpu" or size <= _SMALL:
        values, basis = torch.linalg.eigh(gram, UPLO="L")
        return values, basis.T @ vectors, basis[:, -k:]
    with blas_threads(size):
        workspace, _ = lapack.dsytrd_lwork(size, lower=1)
        reflectors, diagonal, beside, tau, _ = lapack.dsytrd(gram.numpy(), lower=1, lwork=int(workspace), overwrite_a=1)
        of_values, of_tridiagonal = eigh_tridiagonal(diagonal, beside, check_finite=False)

        def turned(columns: Tensor, how: str) -> Tensor:
            rest, _, _ = lapack.dormqr("L", how, reflectors[1:, :-1], tau, columns[1:].numpy(), 64 * columns.shape[1])
            return torch.cat([columns[:1], torch.from_numpy(rest)])

        basis = torch.from_numpy(of_tridiagonal)
        return torch.from_numpy(of_values), basis.T @ turned(vectors, "T"), turned(basis[:, -k:], "N")
