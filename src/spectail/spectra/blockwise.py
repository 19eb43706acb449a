"""Eigenvalues of WᵀW for a large W, in little more memory than one float64 Gram matrix; None where that cannot be.

Not here: what is done instead, which `eigen` decides.
"""

from __future__ import annotations

import math
import mmap
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from scipy.linalg import lapack, qr, svd
from torch import Tensor

from spectail.spectra.gram import (
    FAST_IN_TORCH,
    GRAM_ERROR,
    GRAM_IS_EXACT_ABOVE,
    add_gram,
    blas_threads,
    scipy_eigenvalues,
)
from spectail.spectra.precision import float64

# Below this share of λ_max an eigenvalue counts for nothing; half of the 1e-10 down to which `eigenvalues` is exact.
NEGLIGIBLE = 5e-11

# Up to this share of all eigenvalues, small ones are refined; more of them, and all are computed anew.
REFINED_SHARE = 1 / 16

EXTRA_DIRECTIONS = 8  # at least so many further directions in the iteration, so that those sought converge fast

ITERATIONS = 6

SHIFT = 2 * GRAM_ERROR  # of λ_max

_COLUMNS_AT_A_TIME = 256  # in float64

_SMALL = 64  # up to this shorter side, a call of the solver costs more than its arithmetic

_BATCH = 2**18  # weights at a time in float64, where matrices are small

Matrix = NDArray[np.float64]

Inverse = tuple[Callable[[Matrix], Matrix], ...]


def blockwise_eigenvalues(weights: Float[Tensor, "h d"]) -> Float[Tensor, " b"] | None:
    """The eigenvalues that `eigenvalues` gives, as sharp as the dtype of W, in less memory and time.

    Each above 1e-10 of the largest is right to 1e-6 of itself; or, where the rounding of W to its dtype leaves it
    less certain than that, to that rounding: the smallest of a square matrix in float32 are known to five digits or so.

    No float64 copy of W is made: its Gram matrix is summed up from a few columns at a time, only below the
    diagonal. Where the smallest eigenvalues drown in its rounding, only those are computed again: as the singular
    values of W itself on the directions that belong to them, which inverse iteration finds. The Gram matrix of a
    small W is overwritten when it is solved; for a large W a solver that copies it is faster.

    Args:
        weights: W, any floating dtype.

    Returns:
        float64, ascending, squared units of the weights; None where W is on a device other than the CPU, is empty,
        all zero, or holds NaN, inf, or numbers whose squares overflow or vanish.
    """
    matrix = weights.detach()
    if matrix.device.type != "cpu" or matrix.numel() == 0 or not squares_are_safe(matrix):
        return None
    with blas_threads(min(matrix.shape)):
        intact: Matrix | None = None
        gram = _lower_gram(matrix)
        if len(gram) >= FAST_IN_TORCH:
            values, intact = torch.linalg.eigvalsh(torch.from_numpy(gram), UPLO="L").numpy(), gram
        else:
            values = scipy_eigenvalues(gram, overwrite=True)
        del gram
        total = float(np.maximum(values, 0.0).sum())
        small = int((values < sharp_above(float(values[-1]), total, matrix)).sum())
        if small and values[small - 1] > NEGLIGIBLE * values[-1]:
            if small > max(REFINED_SHARE * len(values), 1):
                return torch.from_numpy(_all_singular_values(matrix))
            values[:small] = _smallest(matrix, small, _inverse(matrix, intact, float(values[-1])))
    return torch.from_numpy(np.maximum(values, 0.0))


def matrices_at_a_time(matrices: Float[Tensor, "s h d"]) -> int:
    """How many of a stack are worth one call of `batch_of_spectra`: 1 but for small ones."""
    return max(_BATCH // max(matrices[0].numel(), 1), 1) if min(matrices.shape[1:]) <= _SMALL else 1


def batch_of_spectra(matrices: Float[Tensor, "s h d"]) -> Float[Tensor, "s b"] | None:
    """The eigenvalues of a few small matrices in one call; None where their Gram matrices would not do for all."""
    if len(matrices) > 1 and matrices.device.type != "mps" and matrices[0].numel() and squares_are_safe(matrices):
        short = float64(matrices if matrices.shape[1] < matrices.shape[2] else matrices.mT)
        values: Tensor = torch.linalg.eigvalsh(short @ short.mT)
        if bool((values[:, 0] >= GRAM_IS_EXACT_ABOVE * values[:, -1]).all()):
            return values
    return None


def squares_are_safe(weights: Tensor) -> bool:
    """Whether squares of the weights neither overflow nor vanish; False where all are zero, or one is NaN or inf."""
    low, high = (float(value) for value in torch.aminmax(weights.detach()))
    return 1e-100 < max(-low, high) < 1e100


def sharp_above(largest: float, total: float, matrix: Tensor) -> float:
    """The eigenvalue down to which those of the Gram matrix are as sharp as promised.

    Args:
        largest: the largest eigenvalue.
        total: the sum of all eigenvalues.
        matrix: W.

    Rounding to unit u moves each entry of W by u times itself at most, and a singular value σ by about u times the
    root mean square of the entries, since roundings of independent sign average out over its two directions. The
    eigenvalue σ² is thus known to 2u·rms·σ.
    """
    error = GRAM_ERROR * largest
    rounding = torch.finfo(matrix.dtype).eps * math.sqrt(total / matrix.numel())
    return min(GRAM_IS_EXACT_ABOVE * largest, (error / rounding) ** 2)


def _lower_gram(matrix: Tensor) -> Matrix:
    """The Gram matrix of the shorter side, column-major, valid at and below the diagonal."""
    short = matrix if matrix.shape[0] < matrix.shape[1] else matrix.T
    gram = _zeros_given_back(len(short), len(short))
    columns = min(_COLUMNS_AT_A_TIME, short.shape[1])
    buffer = torch.empty((columns, len(short)), dtype=torch.float64)  # one, lest the heap grow
    for start in range(0, short.shape[1], _COLUMNS_AT_A_TIME):
        part = short[:, start : start + _COLUMNS_AT_A_TIME].T
        rows = buffer[: len(part)].copy_(part).numpy()
        add_gram(gram, rows.T)
    return gram


def _inverse(matrix: Tensor, gram: Matrix | None, largest: float) -> Inverse:
    """The two solves that multiply a block with (AᵀA)⁻¹, A the taller of W and Wᵀ; `gram`, AᵀA, is used up.

    By the Cholesky factor of the Gram matrix where that is still there, else by the LU factors of A or of its
    triangular factor. The rounding of the Gram matrix turns the directions of an eigenvalue λ by no more than that
    rounding over the gap to the others; the square of this angle is nothing beside a λ above `NEGLIGIBLE`.
    """
    if gram is not None:
        np.einsum("ii->i", gram)[:] += SHIFT * largest  # positive in spite of rounding
        factor, failed = lapack.dpotrf(gram, lower=1, overwrite_a=1, clean=0)
        if not failed:
            return tuple(partial(_solve, lapack.dtrtrs, factor, lower=1, trans=trans) for trans in (0, 1))
    tall = matrix if matrix.shape[0] >= matrix.shape[1] else matrix.T
    square = _column_major(tall)
    if square.shape[0] > square.shape[1]:
        (square,) = qr(square, mode="r", overwrite_a=True, check_finite=False)
        square = np.asfortranarray(square[: square.shape[1]])
    factors, pivots, _ = lapack.dgetrf(square, overwrite_a=1)
    diagonal = np.einsum("ii->i", factors)
    diagonal[diagonal == 0.0] = np.finfo(float).eps * np.abs(diagonal).max()
    return tuple(partial(_solve, lapack.dgetrs, factors, pivots, trans=trans) for trans in (1, 0))


def _solve(solve: Callable[..., tuple[Matrix, int]], *arrays: NDArray[Any], **options: int) -> Matrix:
    """One of the two solves; `arrays` are those of a factorisation, and then the block."""
    solution, _ = solve(*arrays, **options)
    return solution


def _smallest(matrix: Tensor, count: int, inverse: Inverse) -> Matrix:
    """The smallest squared singular values of W, each right to rounding of its own root, ascending.

    Inverse iteration on a block of directions; the singular values of W on that block are those sought.
    """
    tall = matrix if matrix.shape[0] >= matrix.shape[1] else matrix.T
    size = tall.shape[1]
    block = np.random.default_rng(0).standard_normal((size, min(count + max(count, EXTRA_DIRECTIONS), size)))
    for _ in range(ITERATIONS):
        for solve in inverse:
            block = solve(block)
            block, _ = np.linalg.qr(block / np.abs(block).max())  # else a null direction drowns the others
    directions = torch.from_numpy(block)
    image = torch.cat([rows.to(torch.float64) @ directions for rows in torch.split(tall, _COLUMNS_AT_A_TIME)])
    singular = np.linalg.svd(image.numpy(), compute_uv=False)
    values: Matrix = np.square(singular[::-1][:count])
    return values


def _all_singular_values(matrix: Tensor) -> Matrix:
    """All squared singular values, ascending, in the memory of one float64 copy of W."""
    tall = matrix if matrix.shape[0] >= matrix.shape[1] else matrix.T
    singular = svd(_column_major(tall), compute_uv=False, overwrite_a=True, check_finite=False)
    values: Matrix = np.square(singular[::-1])
    return values


def _column_major(matrix: Tensor) -> Matrix:
    """A float64 copy in the order that LAPACK works on in place."""
    copy = _zeros_given_back(*matrix.shape)
    torch.from_numpy(copy).copy_(matrix)
    return copy


def _zeros_given_back(rows: int, cols: int) -> Matrix:
    """Zeros, column-major, in memory that goes back to the system at once when it is let go.

    The C library keeps freed arrays of tens of megabytes for later ones, and holes between them add up.
    """
    pages = mmap.mmap(-1, 8 * rows * cols)
    zeros: Matrix = np.frombuffer(pages, dtype=np.float64).reshape((rows, cols), order="F")
    return zeros
