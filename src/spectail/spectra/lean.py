"""Eigenvalues of WᵀW for a large W, in little more memory than one float64 Gram matrix."""

from __future__ import annotations

import mmap
from contextlib import AbstractContextManager
from functools import cache

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from scipy.linalg import blas, eigh, lapack, qr, svd
from threadpoolctl import ThreadpoolController
from torch import Tensor

from spectail.spectra.density import GRAM_IS_EXACT_ABOVE, eigenvalues

# Below this share of λ_max an eigenvalue counts for nothing; half of the 1e-10 down to which `eigenvalues` is exact.
_NOTHING = 5e-11
_FEW = 1 / 16  # of the eigenvalues: up to this share of small ones, they are refined instead of all computed anew
_GUARD = 8  # further directions in the iteration, so that those wanted converge fast
_ROUNDS = 8
_PART = 256  # columns at a time in float64

Matrix = NDArray[np.float64]


def lean_eigenvalues(weights: Float[Tensor, "h d"]) -> Float[Tensor, " b"]:
    """The eigenvalues that `eigenvalues` gives, to its accuracy, in less memory and time.

    No float64 copy of W is made: its Gram matrix is summed up from a few columns at a time, only below the
    diagonal, and the eigenvalues overwrite it. Where the smallest ones drown in its rounding, only those are
    computed again, by inverse iteration on W itself.

    Args:
        weights: W, any floating dtype. On a device other than the CPU, `eigenvalues` is called.

    Returns:
        float64, ascending, squared units of the weights.

    Raises:
        ValueError: W is empty, or holds NaN or inf.
    """
    if weights.device.type != "cpu" or weights.ndim != 2 or weights.numel() == 0:
        return eigenvalues(weights)
    low, high = (float(value) for value in torch.aminmax(weights.detach()))
    largest = max(-low, high)
    if not 1e-100 < largest < 1e100:  # zero, NaN, inf, or a square that would overflow
        return eigenvalues(weights)
    matrix = weights.detach()
    with _as_many_threads_as_torch():
        values = _solved_in_place(_lower_gram(matrix))
        small = int((values < GRAM_IS_EXACT_ABOVE * values[-1]).sum())
        if small and values[small - 1] > _NOTHING * values[-1]:
            if small > max(_FEW * len(values), 1):
                return torch.from_numpy(_all_singular_values(matrix))
            values[:small] = _smallest(matrix, small)
    return torch.from_numpy(np.maximum(values, 0.0))


@cache
def _pools() -> ThreadpoolController:
    return ThreadpoolController()


def _as_many_threads_as_torch() -> AbstractContextManager[object]:
    limited: AbstractContextManager[object] = _pools().limit(limits=torch.get_num_threads(), user_api="blas")
    return limited


def _lower_gram(matrix: Tensor) -> Matrix:
    """The Gram matrix of the shorter side, column-major, valid at and below the diagonal."""
    short = matrix if matrix.shape[0] < matrix.shape[1] else matrix.T
    gram = _own_pages(len(short), len(short))
    buffer = torch.empty((min(_PART, short.shape[1]), len(short)), dtype=torch.float64)  # one, lest the heap grow
    for start in range(0, short.shape[1], _PART):
        part = short[:, start : start + _PART].T
        rows = buffer[: len(part)].copy_(part).numpy()
        gram = blas.dsyrk(1.0, rows.T, beta=1.0, c=gram, lower=1, overwrite_c=1)
    return gram


def _solved_in_place(gram: Matrix) -> Matrix:
    found: Matrix = eigh(gram, lower=True, eigvals_only=True, overwrite_a=True, check_finite=False, driver="evd")
    return found


def _smallest(matrix: Tensor, count: int) -> Matrix:
    """The smallest squared singular values of W, each right to rounding of its own root, ascending.

    Inverse iteration with (AᵀA)⁻¹ on a block of directions, by the triangular factors of A = W where W is square,
    of A = R where W = QR is tall; the singular values of W on that block are those sought.
    """
    tall = matrix if matrix.shape[0] >= matrix.shape[1] else matrix.T
    square = _column_major(tall)
    if square.shape[0] > square.shape[1]:
        (square,) = qr(square, mode="r", overwrite_a=True, check_finite=False)
        square = np.asfortranarray(square[: square.shape[1]])
    size = len(square)
    factors, pivots, _ = lapack.dgetrf(square, overwrite_a=1)
    diagonal = np.einsum("ii->i", factors)
    diagonal[diagonal == 0.0] = np.finfo(float).eps * np.abs(diagonal).max()
    block = np.random.default_rng(0).standard_normal((size, min(count + _GUARD, size)))
    for _ in range(_ROUNDS):
        for transposed in (1, 0):
            block, _ = lapack.dgetrs(factors, pivots, block, trans=transposed)
            block, _ = np.linalg.qr(block / np.abs(block).max())  # else a null direction drowns the others
    directions = torch.from_numpy(block)
    image = torch.cat([rows.to(torch.float64) @ directions for rows in torch.split(tall, _PART)])
    singular = np.linalg.svd(image.numpy(), compute_uv=False)
    found: Matrix = np.square(singular[::-1][:count])
    return found


def _all_singular_values(matrix: Tensor) -> Matrix:
    """All squared singular values, ascending, in the memory of one float64 copy of W."""
    tall = matrix if matrix.shape[0] >= matrix.shape[1] else matrix.T
    singular = svd(_column_major(tall), compute_uv=False, overwrite_a=True, check_finite=False)
    found: Matrix = np.square(singular[::-1])
    return found


def _column_major(matrix: Tensor) -> Matrix:
    """A float64 copy in the order that LAPACK works on in place."""
    copy = _own_pages(*matrix.shape)
    torch.from_numpy(copy).copy_(matrix)
    return copy


def _own_pages(rows: int, cols: int) -> Matrix:
    """Zeros, column-major, in memory that goes back to the system at once when it is let go.

    The C library keeps freed arrays of tens of megabytes for later ones, and holes between them add up.
    """
    pages = mmap.mmap(-1, 8 * rows * cols)
    zeros: Matrix = np.frombuffer(pages, dtype=np.float64).reshape((rows, cols), order="F")
    return zeros
